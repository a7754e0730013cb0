"""What a Job's pod failure policy makes of a failed pod: the first rule that fits decides."""

from __future__ import annotations

from kube.errors import Object


def decide(job: Object, pod: Object) -> tuple[str, str]:
    """(action, message): ``Ignore``, ``FailJob`` or ``Count``; the message is the Job's when it fails."""
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", [])):
        fits = (
            _by_exit_code(rule["onExitCodes"], pod)
            if rule.get("onExitCodes")
            else _by_condition(rule["onPodConditions"], pod)
        )
        if fits:
            where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            text = f"{fits.format(where)} matching {rule['action']} rule at index {index}"
            return rule["action"], text
    return "Count", ""


def _by_exit_code(wanted: Object, pod: Object) -> str:
    status = pod["status"]
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        ended = container["state"].get("terminated")
        if ended is None or ended["exitCode"] == 0 or wanted.get("containerName") not in (None, "", container["name"]):
            continue
        if (ended["exitCode"] in wanted["values"]) == (wanted["operator"] == "In"):
            return f"Container {container['name']} for pod {{}} failed with exit code {ended['exitCode']}"
    return ""


def _by_condition(patterns: list[Object], pod: Object) -> str:
    for condition in pod["status"].get("conditions", []):
        for pattern in patterns:
            if (condition["type"], condition["status"]) == (pattern["type"], pattern["status"]):
                return f"Pod {{}} has condition {condition['type']}"
    return ""

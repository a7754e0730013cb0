"""Retrain a classifier of handwritten digits on a TPU that may be taken away at any time.

Nothing in here knows where it runs: the connection ``kinetic_default`` decides whether the jobs go to a GKE cluster or
to this machine. ``train`` is plain JAX with an Orbax ``CheckpointManager``; it resumes after a preemption or a retry
because ``KINETIC_OUTPUT_DIR`` is the same directory for every attempt.

The libraries of a task are imported inside of it: Airflow reads this file all the time and has no JAX.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_kinetic.operators.build_image import KineticBuildImageOperator
from airflow_provider_kinetic.operators.cleanup import KineticCleanupOperator

ACCELERATOR = "tpu-v5litepod-4"
REQUIREMENTS = ["orbax-checkpoint", "gcsfs"]  # gcsfs: Orbax on gs://
MODEL = Asset("digits_classifier")


def predict(params: list[tuple[Any, Any]], images: Any) -> Any:
    """Scores of the ten digits. A helper of the DAG file: it travels with the functions that call it."""
    import jax

    *hidden, (weights, bias) = params
    for w, b in hidden:
        images = jax.nn.relu(images @ w + b)
    return images @ weights + bias


@task(multiple_outputs=True)
def prepare() -> dict[str, Any]:
    """Split the digits that scikit-learn ships: 8x8 pixels with values from 0 to 16."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images.astype(int), labels, test_size=0.2, random_state=0, stratify=labels)
    names = ("train_images", "test_images", "train_labels", "test_labels")
    return {name: part.tolist() for name, part in zip(names, parts, strict=True)}


@task.kinetic(
    accelerator=ACCELERATOR,
    spot=True,
    stop_grace=5,  # seconds; the function below does not listen to the notice, so waiting longer gains nothing
    deferrable=True,
    retries=2,
    cleanup="never",  # there is a task for it
)
def train(images: list[list[int]], labels: list[int], steps: int, save_every: int) -> dict[str, Any]:
    """Train for ``steps`` steps and keep a checkpoint after every ``save_every`` of them."""
    import json
    import os

    import jax
    import jax.numpy as jnp
    import orbax.checkpoint as ocp
    from etils import epath

    x, y = jnp.asarray(images, jnp.float32) / 16, jnp.asarray(labels)
    sizes = [x.shape[1], 512, 512, 10]
    seed = jax.random.key(0)

    def loss(params: Any, x: Any, y: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(predict(params, x))[jnp.arange(y.size), y])

    @jax.jit
    def update(state: Any, step: int) -> Any:
        picks, noise = jax.random.split(jax.random.fold_in(seed, step))  # the same batch, whoever runs this step
        batch = jax.random.choice(picks, x.shape[0], (256,))
        noisy = x[batch] + 0.2 * jax.random.normal(noise, (256, x.shape[1]))
        value, slope = jax.value_and_grad(loss)(state["params"], noisy, y[batch])
        speed = jax.tree.map(lambda v, g: 0.9 * v - 0.01 * g, state["speed"], slope)
        return {"params": jax.tree.map(jnp.add, state["params"], speed), "speed": speed}, value

    keys = jax.random.split(jax.random.fold_in(seed, 0), len(sizes) - 1)
    params = [
        (jax.random.normal(key, (n, m)) * jnp.sqrt(2 / n), jnp.zeros(m))
        for key, n, m in zip(keys, sizes, sizes[1:], strict=False)
    ]
    state = {"params": params, "speed": jax.tree.map(jnp.zeros_like, params)}

    output = epath.Path(os.environ["KINETIC_OUTPUT_DIR"])
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    with ocp.CheckpointManager(output / "checkpoints", options=options) as manager:
        first = manager.latest_step() or 0
        if first:
            state = manager.restore(first, args=ocp.args.StandardRestore(state))
        print(f"{'resumed at' if first else 'starts with'} step {first} of {steps} on {jax.devices()[0]}")

        history, metrics, draft = [], output / "metrics" / f"from-{first:06}.jsonl", output / "metrics" / "draft"
        metrics.parent.mkdir(parents=True, exist_ok=True)
        for step in range(first + 1, steps + 1):
            state, value = update(state, step)
            if step % 50 == 0:
                history.append(json.dumps({"step": step, "loss": round(float(value), 4)}))
                draft.write_text("\n".join(history))
                draft.replace(metrics)
            if step % save_every == 0 or step == steps:
                manager.save(step, args=ocp.args.StandardSave(state))
                print(f"step {step} of {steps}: loss {value:.4f}, checkpoint saved")

    return {"checkpoints": str(output / "checkpoints"), "step": steps}


@task.kinetic(accelerator="cpu", deferrable=True, retries=2)
def evaluate(model: dict[str, Any], images: list[list[int]], labels: list[int]) -> dict[str, Any]:
    """Share of the test images that the trained model gets right."""
    import jax.numpy as jnp
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(model["checkpoints"]) as manager:
        params = manager.restore(model["step"], args=ocp.args.StandardRestore())["params"]
    right = predict(params, jnp.asarray(images, jnp.float32) / 16).argmax(axis=1) == jnp.asarray(labels)
    return {**model, "accuracy": round(float(right.mean()), 4)}


@task(outlets=[MODEL])
def register(model: dict[str, Any], least_accuracy: float, *, outlet_events: Any = None) -> None:
    """Publish the model as an event of its asset, for the DAGs that serve it; refuse one that is not good enough."""
    if model["accuracy"] < least_accuracy:
        raise AirflowFailException(f"An accuracy of {model['accuracy']} is below {least_accuracy}: not registered.")
    outlet_events[MODEL].extra = model
    print(f"registered {MODEL.name}: {model}")


@dag(
    schedule=None,  # "@weekly" where it is to run by itself
    params={
        "steps": Param(8_000, type="integer", minimum=1),
        "save_every": Param(500, type="integer", minimum=1),
        "least_accuracy": Param(0.95, type="number"),
    },
    render_template_as_native_obj=True,
    tags=["kinetic"],
)
def kinetic_retrain() -> None:
    digits = prepare()
    build = KineticBuildImageOperator(task_id="build", accelerator=ACCELERATOR, requirements=REQUIREMENTS)
    trained = train.override(container_image=build.output)(
        digits["train_images"],
        digits["train_labels"],
        steps="{{ params.steps }}",
        save_every="{{ params.save_every }}",
    )
    evaluated = evaluate.override(container_image=build.output)(trained, digits["test_images"], digits["test_labels"])
    registered = register(evaluated, "{{ params.least_accuracy }}")
    clean_up = KineticCleanupOperator(task_id="clean_up", job=trained["kinetic_job"])

    digits >> build
    registered >> clean_up.as_teardown()


kinetic_retrain()

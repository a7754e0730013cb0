"""What ``__init__.py`` imports when it is first used, said at once to editors and type checkers."""

from airflow_provider_kinetic import job as job
from airflow_provider_kinetic.decorators.kinetic import kinetic_task as kinetic_task
from airflow_provider_kinetic.hooks.kinetic import KineticHook as KineticHook
from airflow_provider_kinetic.hooks.kinetic import load_result as load_result
from airflow_provider_kinetic.model.checkpoint import KineticCheckpoint as KineticCheckpoint
from airflow_provider_kinetic.model.data import Data as Data
from airflow_provider_kinetic.model.errors import KineticError as KineticError
from airflow_provider_kinetic.operators.build_image import KineticBuildImageOperator as KineticBuildImageOperator
from airflow_provider_kinetic.operators.cleanup import KineticCleanupOperator as KineticCleanupOperator
from airflow_provider_kinetic.operators.collect import KineticCollectOperator as KineticCollectOperator
from airflow_provider_kinetic.operators.run import KineticRunOperator as KineticRunOperator
from airflow_provider_kinetic.operators.submit import KineticSubmitOperator as KineticSubmitOperator
from airflow_provider_kinetic.sensors.job import KineticJobSensor as KineticJobSensor

__version__: str

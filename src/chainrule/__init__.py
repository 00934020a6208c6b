"""chainrule: feedforward networks whose propagation is derived as a program, then run by an engine.

import chainrule as cr

net = cr.Network(inputs=784, layers=[cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")], loss="cross_entropy")
print(net.program)
"""

from chainrule import starting  # noqa: F401 - before all that takes time

# isort: split
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainrule.blocks import Blocks
from chainrule.describe.activations import Activation, elu, leaky_relu
from chainrule.describe.averages import ExponentialAverage, LastAverage
from chainrule.describe.columns import Periodic, Piecewise
from chainrule.describe.combine import Branches, Keep, Residual, Take
from chainrule.describe.constraints import Constraint, MaxNorm, Monotone, NonNegative, UnitNorm
from chainrule.describe.embedding import Embedding
from chainrule.describe.formula import Formula
from chainrule.describe.grouped import GroupedDense, MeanOfMembers, Members, SharedDense, batch_ensemble
from chainrule.describe.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm, Tied
from chainrule.describe.losses import Cost, Loss, cross_entropy, huber, quantile
from chainrule.describe.network import NetworkSpec
from chainrule.describe.optimizers import (
    SGD,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    RMSProp,
)
from chainrule.describe.parameters import Parameter
from chainrule.describe.schedules import (
    Constant,
    Cosine,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    OnPlateau,
    Schedule,
    StepDecay,
    schedule_from_dict,
)
from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    DataError,
    DataWarning,
    DivergedError,
    FormulaError,
    GroupError,
    MissingDependencyError,
    ProgramError,
    SpecError,
)
from chainrule.network import Network
from chainrule.program.equation import Program
from chainrule.program.parse import functions
from chainrule.readers import bind
from chainrule.rules.derive import derive
from chainrule.train.callbacks import Callback, CSVLog, EarlyStopping, LearningRateLog, WeightAverage
from chainrule.train.history import EpochRecord, History
from chainrule.train.progress import Progress
from chainrule.train.state import FitState
from chainrule.version import VERSION
from chainrule.words import PUBLIC, no_attribute

if TYPE_CHECKING:
    from chainrule import data
    from chainrule.estimators import MLPClassifier, MLPRegressor
    from chainrule.group.find import as_group
    from chainrule.report import plots as plot
    from chainrule.runs import Run
    from chainrule.tabular.classifier import TabularClassifier
    from chainrule.tabular.doors import fit_table, load_run
    from chainrule.tabular.regressor import TabularRegressor
    from chainrule.train.monitor import Monitor
    from chainrule.train.trackers import MLflowLog, OptunaPruning, TensorBoardLog, WandbLog

bind()
__version__ = VERSION

__all__ = [
    "SGD",
    "Activation",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArgumentError",
    "BatchNorm",
    "Blocks",
    "Branches",
    "CSVLog",
    "Callback",
    "ChainruleError",
    "Constant",
    "Constraint",
    "Cosine",
    "Cost",
    "DataError",
    "DataWarning",
    "Dense",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "EpochRecord",
    "ExponentialAverage",
    "ExponentialDecay",
    "FitState",
    "Formula",
    "FormulaError",
    "GroupError",
    "GroupedDense",
    "History",
    "InverseScaling",
    "Keep",
    "LastAverage",
    "Layer",
    "LayerNorm",
    "LearningRateLog",
    "Lion",
    "Loss",
    "MLPClassifier",
    "MLPRegressor",
    "MLflowLog",
    "MaxNorm",
    "MeanOfMembers",
    "Members",
    "MissingDependencyError",
    "Monitor",
    "Monotone",
    "Muon",
    "NAdam",
    "Network",
    "NetworkSpec",
    "NonNegative",
    "OnPlateau",
    "OneCycle",
    "Optimizer",
    "OptunaPruning",
    "Parameter",
    "Periodic",
    "Piecewise",
    "Program",
    "ProgramError",
    "Progress",
    "RMSProp",
    "Residual",
    "Run",
    "Schedule",
    "SharedDense",
    "SpecError",
    "StepDecay",
    "TabularClassifier",
    "TabularRegressor",
    "Take",
    "TensorBoardLog",
    "Tied",
    "UnitNorm",
    "WandbLog",
    "WeightAverage",
    "as_group",
    "batch_ensemble",
    "cross_entropy",
    "data",
    "derive",
    "elu",
    "fit_table",
    "functions",
    "huber",
    "leaky_relu",
    "load_run",
    "plot",
    "quantile",
    "schedule_from_dict",
]

_LAZY = {
    "MLPClassifier": "chainrule.estimators",
    "MLPRegressor": "chainrule.estimators",
    "MLflowLog": "chainrule.train.trackers",
    "Monitor": "chainrule.train.monitor",
    "OptunaPruning": "chainrule.train.trackers",
    "Run": "chainrule.runs",
    "TabularClassifier": "chainrule.tabular.classifier",
    "TabularRegressor": "chainrule.tabular.regressor",
    "TensorBoardLog": "chainrule.train.trackers",
    "WandbLog": "chainrule.train.trackers",
    "as_group": "chainrule.group.find",
    "data": "chainrule.data",
    "fit_table": "chainrule.tabular.doors",
    "load_run": "chainrule.tabular.doors",
    "plot": "chainrule.report.plots",
}
"""What takes its time to load (scikit-learn, threads, archives), and so only when it is asked for: where it is."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(no_attribute("module 'chainrule'", name, PUBLIC), name=name, obj=sys.modules[__name__])
    try:
        module = import_module(_LAZY[name])
    except ModuleNotFoundError as error:
        lacking = (error.name or "").split(".")[0]
        if lacking == "chainrule":
            raise
        package = {"sklearn": "scikit-learn"}.get(lacking, lacking)
        raise MissingDependencyError(f"chainrule.{name} needs {package}: pip install {package}") from None
    value = globals()[name] = getattr(module, name, module)
    return value


def __dir__() -> list[str]:
    """The public names, and those that a module is expected to have."""
    return sorted([*__all__, "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"])

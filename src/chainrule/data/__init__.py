"""Reading data: the digits, tables, data frames, NumPy archives, MNIST's files, names; standardising and splitting."""

from chainrule.data.archives import read_npz
from chainrule.data.dataset import Dataset, split
from chainrule.data.delimited import read_table
from chainrule.data.encode import TableEncoder
from chainrule.data.idx import load_mnist, read_idx
from chainrule.data.readers import from_frame, load, load_digits, load_features, read_csv, read_names
from chainrule.data.standardize import Standardizer
from chainrule.data.table import Table
from chainrule.data.targets import TargetEncoder

__all__ = [
    "Dataset",
    "Standardizer",
    "Table",
    "TableEncoder",
    "TargetEncoder",
    "from_frame",
    "load",
    "load_digits",
    "load_features",
    "load_mnist",
    "read_csv",
    "read_idx",
    "read_names",
    "read_npz",
    "read_table",
    "split",
]

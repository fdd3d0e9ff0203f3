"""The only reason for this file: setuptools takes cffi's build hooks from here and nowhere else."""

from setuptools import setup

setup(cffi_modules=["agent/core/build.py:builder", "agent/goose/inbox_build.py:builder"])

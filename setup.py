"""The only reason for this file: setuptools takes cffi's build hook from here and nowhere else."""

from setuptools import setup

setup(cffi_modules=["agent/core/build.py:builder"])

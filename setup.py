"""What pyproject.toml cannot say: the config tree, which stays at the top of a checkout, goes into
the package.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfigs(build_py):
    """The package as it is built for a wheel; a checkout that is installed as editable finds its
    own tree.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            configs = Path(self.build_lib) / "mim" / "configs"
            shutil.rmtree(configs, ignore_errors=True)
            shutil.copytree("configs", configs)


setup(cmdclass={"build_py": WithConfigs})

"""The user's `config.toml` -> Config."""

from __future__ import annotations

from taowatch.core.config import BadConfig, Config, parse_config
from taowatch.errors import BAD_CONFIG, TaowatchError
from taowatch.paths import Paths


def read_config(paths: Paths) -> Config:
    """What the user chose; the defaults where there is no file. Raises TaowatchError (code 78) with what is wrong."""
    file = paths.config / "config.toml"
    try:
        return parse_config(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return Config()
    except (BadConfig, UnicodeDecodeError) as error:
        raise TaowatchError(f"{file}: {error}", "mend it, then start the service again", BAD_CONFIG) from None
    except OSError as error:
        raise TaowatchError(f"{file}: {error.strerror}", code=BAD_CONFIG) from None

"""The application of this process, made inside the first invocation: clients belong to its event loop."""

from collections.abc import Callable

from shared.engine.application import Application


class Once:
    """Makes the application when it is first asked for."""

    def __init__(self, build: Callable[[], Application]) -> None:
        self._build = build
        self._application: Application | None = None

    def __call__(self) -> Application:
        """Give the application.

        Raises:
            SettingError, MissingSetting, UnusableSetting: an application setting is missing or wrong.
        """
        if self._application is None:
            self._application = self._build()
        return self._application

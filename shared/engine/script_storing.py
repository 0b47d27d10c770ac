"""Long scripts on their way: into the guests' storage before a run starts, and out of it by a URL."""

from dataclasses import replace

from shared.engine.run_settings import RunSettings
from shared.policy.guest_processing import GuestProcessing, Script
from shared.policy.script_fields import inline
from shared.storage.guest_scripts import ScriptStore


async def with_stored_scripts(settings: RunSettings, store: ScriptStore) -> RunSettings:
    """Put every script that is too long for a command into the store, and leave its pin in its place."""
    for script in _scripts(settings):
        if not inline(script):
            await store.put(script.sha256, script.content)
    layers = tuple(
        replace(
            layer,
            changes=replace(
                layer.changes,
                pre_script=_without_content(layer.changes.pre_script),
                post_script=_without_content(layer.changes.post_script),
            ),
        )
        for layer in settings.layers
    )
    guest = replace(
        settings.guest,
        pre_script=_without_content(settings.guest.pre_script),
        post_script=_without_content(settings.guest.post_script),
    )
    return replace(settings, guest=guest, layers=layers)


async def urls_of(guest: GuestProcessing, store: ScriptStore, valid_ms: int) -> dict[str, str]:
    """Give the URL of every script of ``guest`` that lies in the store, by its pin."""
    pins = {script.sha256 for script in (guest.pre_script, guest.post_script) if script and script.stored}
    return {pin: await store.url(pin, valid_ms) for pin in sorted(pins)}


def _scripts(settings: RunSettings) -> list[Script]:
    changes = [layer.changes for layer in settings.layers]
    pre_scripts = (settings.guest.pre_script, *(each.pre_script for each in changes))
    post_scripts = (settings.guest.post_script, *(each.post_script for each in changes))
    return [script for script in (*pre_scripts, *post_scripts) if script is not None]


def _without_content(script: Script | None) -> Script | None:
    if script is None or inline(script):
        return script
    return replace(script, content="", stored=True)

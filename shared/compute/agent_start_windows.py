"""Waking the agent of a Windows guest: the run command's script, and what it is handed.

Run command hands parameters to a PowerShell script on its command line, where quotation marks do not survive
every version of it: so each travels in base64. It may be run by the 32-bit PowerShell, for which
``ProgramFiles`` is another folder than the one where the agent lies.
"""

import base64
from collections.abc import Mapping

from shared.compute.agent_package import FETCH

#: Exit code 3: no agent is installed. Exit code 4: no Python to run it with. An agent that cannot be upgraded
#: is run as it is: when it says that it is ready, the app judges its version.
SCRIPT = (
    r"""param(
    [string] $STILLFRAME_BOOTSTRAP = $env:STILLFRAME_BOOTSTRAP,
    [string] $STILLFRAME_PACKAGE_URL = $env:STILLFRAME_PACKAGE_URL,
    [string] $STILLFRAME_PACKAGE_SHA256 = $env:STILLFRAME_PACKAGE_SHA256,
    [string] $STILLFRAME_PACKAGE_UPGRADE = $env:STILLFRAME_PACKAGE_UPGRADE
)
$ErrorActionPreference = 'Stop'
$programs = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }
$folder = Join-Path -Path $programs -ChildPath 'Stillframe'
$agent = Join-Path -Path $folder -ChildPath 'agent.py'
$python = Join-Path -Path $folder -ChildPath 'python\python.exe'
if (-not (Test-Path -LiteralPath $agent -PathType Leaf)) {
    [Console]::Error.WriteLine("stillframe: no agent at $agent")
    exit 3
}
if (-not (Test-Path -LiteralPath $python -PathType Leaf)) {
    [Console]::Error.WriteLine("stillframe: no Python at $python to run $agent with")
    exit 4
}
function Expand-Text([string] $Text) {
    return [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($Text))
}
$ErrorActionPreference = 'Continue'
if ($STILLFRAME_PACKAGE_URL -and $STILLFRAME_PACKAGE_UPGRADE) {
    $env:STILLFRAME_PACKAGE_URL = Expand-Text $STILLFRAME_PACKAGE_URL
    $env:STILLFRAME_PACKAGE_SHA256 = Expand-Text $STILLFRAME_PACKAGE_SHA256
    $env:STILLFRAME_PACKAGE_UPGRADE = Expand-Text $STILLFRAME_PACKAGE_UPGRADE
    $version = Get-Content -LiteralPath (Join-Path -Path $folder -ChildPath 'current')
    $installed = Join-Path -Path $folder -ChildPath $version
    $fetch = @'
"""
    + FETCH
    + r"""'@
    $fetch | & $python - $installed
}
foreach ($name in @('URL', 'SHA256', 'UPGRADE')) {
    Remove-Item -Path "Env:STILLFRAME_PACKAGE_$name" -ErrorAction SilentlyContinue
}
$env:STILLFRAME_BOOTSTRAP = Expand-Text $STILLFRAME_BOOTSTRAP
& $python $agent run --detach
exit $LASTEXITCODE
"""
)


def handed(parameters: Mapping[str, str]) -> dict[str, str]:
    """Give the parameters as they are handed over."""
    return {name: base64.b64encode(value.encode()).decode("ascii") for name, value in parameters.items()}

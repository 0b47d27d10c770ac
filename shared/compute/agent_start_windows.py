"""Waking the agent of a Windows guest: the run command's script, and what it is handed.

Run command hands parameters to a PowerShell script on its command line, where quotation marks do not survive
every version of it: so the bootstrap travels in base64. It may be run by the 32-bit PowerShell, for which
``ProgramFiles`` is another folder than the one where the agent lies.
"""

import base64

#: Exit code 3: no agent is installed. Exit code 4: no Python to run it with.
SCRIPT = r"""param([string] $STILLFRAME_BOOTSTRAP = $env:STILLFRAME_BOOTSTRAP)
$ErrorActionPreference = 'Stop'
$programs = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }
$folder = Join-Path -Path $programs -ChildPath 'Stillframe'
$agent = Join-Path -Path $folder -ChildPath 'agent.pyz'
$python = Join-Path -Path $folder -ChildPath 'python\python.exe'
if (-not (Test-Path -LiteralPath $agent -PathType Leaf)) {
    [Console]::Error.WriteLine("stillframe: no agent at $agent")
    exit 3
}
if (-not (Test-Path -LiteralPath $python -PathType Leaf)) {
    [Console]::Error.WriteLine("stillframe: no Python at $python to run $agent with")
    exit 4
}
$bytes = [Convert]::FromBase64String($STILLFRAME_BOOTSTRAP)
$env:STILLFRAME_BOOTSTRAP = [Text.Encoding]::UTF8.GetString($bytes)
& $python $agent run --detach
exit $LASTEXITCODE
"""


def handed(bootstrap: str) -> str:
    """Give the parameter's value for a bootstrap."""
    return base64.b64encode(bootstrap.encode()).decode("ascii")

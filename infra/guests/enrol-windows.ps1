# Makes the agent of a Windows guest resident; its bootstrap comes in base64.
# Exit codes: 3 no package of the agent is there; 1 says what would stop the agent.
param([string] $STILLFRAME_BOOTSTRAP = $env:STILLFRAME_BOOTSTRAP)
$ErrorActionPreference = 'Stop'
$plugins = Join-Path -Path $env:SystemDrive -ChildPath 'Packages\Plugins'
$place = 'Microsoft.CPlat.Core.VMApplicationManagerWindows\*\Downloads\stillframe-agent-windows\*\vm-application.ps1'
$found = Get-ChildItem -Path (Join-Path -Path $plugins -ChildPath $place) -ErrorAction SilentlyContinue |
    Sort-Object -Property LastWriteTime | Select-Object -Last 1
if (-not $found) {
    [Console]::Error.WriteLine('stillframe: no package of the agent: install the VM Application first')
    exit 3
}
$bytes = [Convert]::FromBase64String($STILLFRAME_BOOTSTRAP)
$env:STILLFRAME_BOOTSTRAP = [Text.Encoding]::UTF8.GetString($bytes)
& $found.FullName update
$programs = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }
$folder = Join-Path -Path $programs -ChildPath 'Stillframe'
$python = Join-Path -Path $folder -ChildPath 'python\python.exe'
& $python (Join-Path -Path $folder -ChildPath 'agent.py') check
exit $LASTEXITCODE

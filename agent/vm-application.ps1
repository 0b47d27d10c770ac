<#
.SYNOPSIS
What a VM Application runs on Windows: installs, upgrades or removes the agent out of its own unpacked package.

.DESCRIPTION
The package's manifest.json pins what install.ps1 unpacks. An enrolment that the guest has stays; to remove the
agent keeps state, metadata and scripts.
#>
#Requires -Version 5.1
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true, Position = 0)] [ValidateSet('install', 'update', 'remove')] [string] $Action
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$installer = Join-Path -Path $PSScriptRoot -ChildPath 'install.ps1'
if ($Action -eq 'remove') {
    & $installer -Uninstall
    return
}
$text = Get-Content -LiteralPath (Join-Path -Path $PSScriptRoot -ChildPath 'manifest.json') -Raw
$manifest = ConvertFrom-Json -InputObject $text
$files = @{
    PythonZip    = Join-Path -Path $PSScriptRoot -ChildPath $manifest.python.file
    PythonSha256 = $manifest.python.sha256
    Agent        = Join-Path -Path $PSScriptRoot -ChildPath $manifest.agent.file
    AgentSha256  = $manifest.agent.sha256
}
& $installer @files

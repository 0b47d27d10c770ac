<#
.SYNOPSIS
Installs, upgrades or removes the Stillframe agent on Windows Server.

.DESCRIPTION
Unpacks python.org's embeddable CPython and agent.pyz into %ProgramFiles%\Stillframe, makes the folders under
%ProgramData%\Stillframe that only the system and administrators may write to, and registers a scheduled task
that tidies up at every boot. Nothing else of the system is changed. Running it again upgrades. No secret is
installed: an agent gets its key when it is woken.

.EXAMPLE
.\install.ps1 -PythonZip .\python-3.13.2-embed-amd64.zip -PythonSha256 <hex> -Agent .\agent.pyz -AgentSha256 <hex>

.EXAMPLE
.\install.ps1 -Uninstall
#>
#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(DefaultParameterSetName = 'Install')]
param(
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')] [string] $PythonZip,
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')]
    [ValidatePattern('^[0-9A-Fa-f]{64}$')] [string] $PythonSha256,
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')] [string] $Agent,
    [Parameter(Mandatory = $true, ParameterSetName = 'Install')]
    [ValidatePattern('^[0-9A-Fa-f]{64}$')] [string] $AgentSha256,
    [Parameter(Mandatory = $true, ParameterSetName = 'Uninstall')] [switch] $Uninstall,
    [Parameter(ParameterSetName = 'Uninstall')] [switch] $RemoveData
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$TaskName = 'Stillframe agent'
$System = '*S-1-5-18'
$Administrators = '*S-1-5-32-544'
$StopSeconds = 60

# Under the 32-bit PowerShell, ProgramFiles is the folder of 32-bit programs.
$programs = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }
$folder = Join-Path -Path $programs -ChildPath 'Stillframe'
$data = Join-Path -Path $env:ProgramData -ChildPath 'Stillframe'

function Assert-Hash([string] $Path, [string] $Expected) {
    $found = (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash
    if ($found -ne $Expected) { throw "$Path has SHA-256 $found, not $Expected" }
}

function Invoke-Checked([string] $Program, [string[]] $Arguments) {
    $output = & $Program @Arguments 2>&1 | Out-String
    if ($LASTEXITCODE -ne 0) { throw "$Program ended with ${LASTEXITCODE}: $output" }
}

function Protect-Folder([string] $Path) {
    New-Item -ItemType Directory -Path $Path -Force | Out-Null
    $icacls = Join-Path -Path $env:SystemRoot -ChildPath 'System32\icacls.exe'
    Invoke-Checked $icacls @($Path, '/setowner', $Administrators, '/q')
    Invoke-Checked $icacls @($Path, '/inheritance:r', '/grant:r', "${System}:(OI)(CI)F", "${Administrators}:(OI)(CI)F", '/q')
}

# Ends running agents in good order: each lets go of what it holds, then ends by itself.
function Stop-Agent {
    $agents = @(Get-CimInstance -ClassName Win32_Process -Filter "Name = 'python.exe'" |
        Where-Object -FilterScript { $_.ExecutablePath -like (Join-Path -Path $folder -ChildPath '*') })
    foreach ($process in $agents) {
        try {
            $stop = [Threading.EventWaitHandle]::OpenExisting("Global\stillframe-stop-$($process.ProcessId)")
            $null = $stop.Set()
            $stop.Dispose()
        }
        catch [Threading.WaitHandleCannotBeOpenedException] {
            Write-Verbose -Message "process $($process.ProcessId) has ended or waits for no event"
        }
    }
    foreach ($process in $agents) {
        Wait-Process -Id $process.ProcessId -Timeout $StopSeconds -ErrorAction SilentlyContinue
        if (Get-Process -Id $process.ProcessId -ErrorAction SilentlyContinue) {
            throw "the agent (process $($process.ProcessId)) did not end in $StopSeconds s"
        }
    }
}

function Install-Python {
    $fresh = Join-Path -Path $folder -ChildPath 'python.new'
    $target = Join-Path -Path $folder -ChildPath 'python'
    foreach ($path in @($fresh, $target)) {
        if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path -Recurse -Force }
        if ($path -eq $fresh) { Expand-Archive -LiteralPath $PythonZip -DestinationPath $fresh }
    }
    Move-Item -LiteralPath $fresh -Destination $target
}

function Register-Task {
    $python = Join-Path -Path $folder -ChildPath 'python\python.exe'
    $program = Join-Path -Path $folder -ChildPath 'agent.pyz'
    $action = New-ScheduledTaskAction -Execute $python -Argument ('"{0}" tidy' -f $program)
    $trigger = New-ScheduledTaskTrigger -AtStartup
    $principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest
    $settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries `
        -StartWhenAvailable -MultipleInstances IgnoreNew -ExecutionTimeLimit ([TimeSpan]::FromMinutes(10))
    Register-ScheduledTask -TaskName $TaskName -Action $action -Trigger $trigger -Principal $principal `
        -Settings $settings -Force | Out-Null
}

if ($Uninstall) {
    Stop-Agent
    if (Get-ScheduledTask -TaskName $TaskName -ErrorAction SilentlyContinue) {
        Unregister-ScheduledTask -TaskName $TaskName -Confirm:$false
    }
    if (Test-Path -LiteralPath $folder) { Remove-Item -LiteralPath $folder -Recurse -Force }
    if ($RemoveData -and (Test-Path -LiteralPath $data)) { Remove-Item -LiteralPath $data -Recurse -Force }
    Write-Output -InputObject 'stillframe: removed'
    return
}

Assert-Hash -Path $PythonZip -Expected $PythonSha256
Assert-Hash -Path $Agent -Expected $AgentSha256
Stop-Agent
Protect-Folder -Path $folder
foreach ($path in @($data, (Join-Path -Path $data -ChildPath 'state'), (Join-Path -Path $data -ChildPath 'scripts'))) {
    Protect-Folder -Path $path
}
Install-Python
Copy-Item -LiteralPath $Agent -Destination (Join-Path -Path $folder -ChildPath 'agent.pyz') -Force
Register-Task
$version = & (Join-Path -Path $folder -ChildPath 'python\python.exe') (Join-Path -Path $folder -ChildPath 'agent.pyz') --version
if ($LASTEXITCODE -ne 0) { throw 'the agent does not start' }
Write-Output -InputObject "stillframe: agent $version is installed in $folder"

"""The calls of the Windows API that the agent makes, with their types."""

import ctypes
import os
import sys
from ctypes import wintypes
from typing import Any, NamedTuple, Optional, Tuple

assert sys.platform == "win32"

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)

ERROR_FILE_NOT_FOUND = 2
ERROR_ACCESS_DENIED = 5

PROCESS_TERMINATE = 0x0001
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
SYNCHRONIZE = 0x00100000
_WAIT_TIMEOUT = 0x102
INFINITE = 0xFFFFFFFF

_HKEY_LOCAL_MACHINE = ctypes.c_void_p(0x80000002)
_KEY_READ_WRITE = 0x2001F  # KEY_READ | KEY_WRITE
_REG_OPTION_VOLATILE = 1
_REG_SZ = 1

_SE_FILE_OBJECT = 1
_OWNER_AND_DACL = 0x1 | 0x4
_DRIVE_FIXED = 3
_INVALID_HANDLE = ctypes.c_void_p(-1).value
_TEMPORARY_DISK = "DATALOSS_WARNING_README.txt"
_TOKEN_QUERY = 0x8
_TOKEN_USER = 1


class _FileTime(ctypes.Structure):
    _fields_ = (("low", wintypes.DWORD), ("high", wintypes.DWORD))


def _declare(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


_pointer = ctypes.c_void_p
close_handle = _declare(kernel32, "CloseHandle", wintypes.BOOL, wintypes.HANDLE)
get_tick_count = _declare(kernel32, "GetTickCount64", ctypes.c_ulonglong)
open_process = _declare(
    kernel32, "OpenProcess", wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL, wintypes.DWORD
)
terminate_process = _declare(kernel32, "TerminateProcess", wintypes.BOOL, wintypes.HANDLE, wintypes.UINT)
wait_for = _declare(kernel32, "WaitForSingleObject", wintypes.DWORD, wintypes.HANDLE, wintypes.DWORD)
create_event = _declare(
    kernel32, "CreateEventW", wintypes.HANDLE, _pointer, wintypes.BOOL, wintypes.BOOL, wintypes.LPCWSTR
)
_local_free = _declare(kernel32, "LocalFree", _pointer, _pointer)
_process_times = _declare(
    kernel32, "GetProcessTimes", wintypes.BOOL, wintypes.HANDLE, *[ctypes.POINTER(_FileTime)] * 4
)
_first_volume = _declare(kernel32, "FindFirstVolumeW", wintypes.HANDLE, wintypes.LPWSTR, wintypes.DWORD)
_next_volume = _declare(
    kernel32, "FindNextVolumeW", wintypes.BOOL, wintypes.HANDLE, wintypes.LPWSTR, wintypes.DWORD
)
_close_volumes = _declare(kernel32, "FindVolumeClose", wintypes.BOOL, wintypes.HANDLE)
_volume_paths = _declare(
    kernel32,
    "GetVolumePathNamesForVolumeNameW",
    wintypes.BOOL,
    wintypes.LPCWSTR,
    wintypes.LPWSTR,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.DWORD),
)
_drive_type = _declare(kernel32, "GetDriveTypeW", wintypes.UINT, wintypes.LPCWSTR)
current_process = _declare(kernel32, "GetCurrentProcess", wintypes.HANDLE)
_create_key = _declare(
    advapi32,
    "RegCreateKeyExW",
    wintypes.LONG,
    _pointer,
    wintypes.LPCWSTR,
    wintypes.DWORD,
    wintypes.LPWSTR,
    wintypes.DWORD,
    wintypes.DWORD,
    _pointer,
    ctypes.POINTER(_pointer),
    _pointer,
)
_query_value = _declare(
    advapi32,
    "RegQueryValueExW",
    wintypes.LONG,
    _pointer,
    wintypes.LPCWSTR,
    _pointer,
    _pointer,
    _pointer,
    ctypes.POINTER(wintypes.DWORD),
)
_set_value = _declare(
    advapi32,
    "RegSetValueExW",
    wintypes.LONG,
    _pointer,
    wintypes.LPCWSTR,
    wintypes.DWORD,
    wintypes.DWORD,
    _pointer,
    wintypes.DWORD,
)
_close_key = _declare(advapi32, "RegCloseKey", wintypes.LONG, _pointer)
_named_security = _declare(
    advapi32,
    "GetNamedSecurityInfoW",
    wintypes.DWORD,
    wintypes.LPCWSTR,
    ctypes.c_int,
    wintypes.DWORD,
    _pointer,
    _pointer,
    _pointer,
    _pointer,
    ctypes.POINTER(_pointer),
)
_security_to_text = _declare(
    advapi32,
    "ConvertSecurityDescriptorToStringSecurityDescriptorW",
    wintypes.BOOL,
    _pointer,
    wintypes.DWORD,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.LPWSTR),
    _pointer,
)
_open_token = _declare(
    advapi32,
    "OpenProcessToken",
    wintypes.BOOL,
    wintypes.HANDLE,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.HANDLE),
)
_token_information = _declare(
    advapi32,
    "GetTokenInformation",
    wintypes.BOOL,
    wintypes.HANDLE,
    ctypes.c_int,
    _pointer,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.DWORD),
)
_sid_to_text = _declare(
    advapi32, "ConvertSidToStringSidW", wintypes.BOOL, _pointer, ctypes.POINTER(wintypes.LPWSTR)
)


def failure(path: str = "") -> OSError:
    """Make an error of what the last call left, about ``path``."""
    code = ctypes.get_last_error()
    return OSError(0, ctypes.FormatError(code).strip(), path or None, code)


class Started(NamedTuple):
    """A process that lives: its handle, to be closed, and when it was created (100 ns since 1601)."""

    handle: int
    created: int


def living(pid: int, access: int = 0) -> Optional[Started]:
    """Open a living process; None if it has ended or is out of reach."""
    handle = open_process(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE | access, 0, pid)
    if not handle:
        return None
    times = [_FileTime() for _ in range(4)]
    # A handle keeps an ended process's pid: it is over once it is signaled.
    known = _process_times(handle, *map(ctypes.byref, times)) and wait_for(handle, 0) == _WAIT_TIMEOUT
    if not known:
        close_handle(handle)
        return None
    return Started(handle, times[0].high << 32 | times[0].low)


def fixed_volumes() -> Tuple[str, ...]:
    r"""Give each volume of a fixed drive by the first path that leads to it, as ``C:`` or ``C:\\mounted``.

    Volumes without a path (recovery, EFI) are left out: no application writes to them. So is the temporary
    disk of an Azure VM, which no snapshot contains; Windows' agent in Azure marks it by a file.
    """
    name = ctypes.create_unicode_buffer(64)
    search = _first_volume(name, len(name))
    if search in (None, _INVALID_HANDLE):
        raise failure()
    found = []
    try:
        more = True
        while more:
            path = _path_of(name.value)
            fixed = path and _drive_type(path) == _DRIVE_FIXED
            if fixed and not os.path.exists(os.path.join(path, _TEMPORARY_DISK)):
                found.append(path.rstrip("\\"))
            more = bool(_next_volume(search, name, len(name)))
    finally:
        _close_volumes(search)
    return tuple(sorted(found))


def _path_of(volume: str) -> str:
    """Give the first path of a volume by its name, "" if there is none."""
    paths, size = ctypes.create_unicode_buffer(4096), wintypes.DWORD()
    if not _volume_paths(volume, paths, len(paths), ctypes.byref(size)):
        return ""
    return str(paths.value)  # the first of several, each ended by a zero


def volatile_value(path: str, name: str, fresh: str) -> str:
    """Give a text of a registry key that ends with this boot, set to ``fresh`` if it is not there yet.

    Raises:
        OSError: the registry refuses.
    """
    key = _pointer()
    code = _create_key(
        _HKEY_LOCAL_MACHINE,
        path,
        0,
        None,
        _REG_OPTION_VOLATILE,
        _KEY_READ_WRITE,
        None,
        ctypes.byref(key),
        None,
    )
    if code:
        raise OSError(0, ctypes.FormatError(code).strip(), path, code)
    try:
        buffer = ctypes.create_unicode_buffer(256)
        size = wintypes.DWORD(ctypes.sizeof(buffer))
        if _query_value(key, name, None, None, buffer, ctypes.byref(size)) == 0:
            return buffer.value
        text = ctypes.create_unicode_buffer(fresh)
        code = _set_value(key, name, 0, _REG_SZ, text, ctypes.sizeof(text))
        if code:
            raise OSError(0, ctypes.FormatError(code).strip(), path, code)
        return fresh
    finally:
        _close_key(key)


def security_of(path: str) -> str:
    """Give owner and access list of a file or folder in the security descriptor definition language.

    Raises:
        OSError: they cannot be read.
    """
    descriptor, text = _pointer(), wintypes.LPWSTR()
    code = _named_security(
        path, _SE_FILE_OBJECT, _OWNER_AND_DACL, None, None, None, None, ctypes.byref(descriptor)
    )
    if code:
        raise OSError(0, ctypes.FormatError(code).strip(), path, code)
    try:
        if not _security_to_text(descriptor, 1, _OWNER_AND_DACL, ctypes.byref(text), None):
            raise failure(path)
        return _taken(text)
    finally:
        _local_free(descriptor)


def own_sid() -> str:
    """Give the security identifier of the user as whom this process runs.

    Raises:
        OSError: it cannot be read.
    """
    token, text, size = wintypes.HANDLE(), wintypes.LPWSTR(), wintypes.DWORD()
    if not _open_token(current_process(), _TOKEN_QUERY, ctypes.byref(token)):
        raise failure()
    try:
        buffer = (_pointer * 32)()  # TOKEN_USER: a pointer to a SID, which follows it
        if not _token_information(
            token, _TOKEN_USER, buffer, ctypes.sizeof(buffer), ctypes.byref(size)
        ) or not _sid_to_text(buffer[0], ctypes.byref(text)):
            raise failure()
        return _taken(text)
    finally:
        close_handle(token)


def _taken(text: Any) -> str:
    """Copy a text that the system allocated, and free it."""
    copied = str(text.value)
    _local_free(ctypes.cast(text, _pointer))
    return copied

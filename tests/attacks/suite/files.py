"""Attacks on files: reading, writing and changing what lies outside the session's workspace."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .arena import Arena, Outcome, attack

READ_EVERY_WAY = """
import glob, mmap, pathlib, subprocess
def tries():
    yield lambda: open(path).read()
    yield lambda: os.read(os.open(path, os.O_RDONLY), 100)
    yield lambda: pathlib.Path(os.path.realpath(path)).read_text()
    yield lambda: subprocess.run(['cat', path], capture_output=True, text=True)
    yield lambda: subprocess.run(['sh', '-c', 'cat < "$0"', path], capture_output=True, text=True)
    yield lambda: open('/proc/self/fd/%d' % os.open(path, os.O_PATH)).read()
    yield lambda: mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:]
    yield lambda: os.sendfile(1, os.open(path, os.O_RDONLY), 0, 100)
    for start in ('/proc/self/root', '/proc/1/root', '/proc/%d/root' % os.getppid(), '/proc/1/cwd', '/proc/self/cwd/../../../../../..',
                  '/proc/thread-self/root', '/dev/fd/../root'):
        yield lambda start=start: open(start + path).read()
    for pid in pids():
        yield lambda pid=pid: open('/proc/%s/root%s' % (pid, path)).read()
def copied():
    os.link(path, 'stolen')
    return open('stolen').read()
def renamed():
    os.rename(path, 'stolen')
    return open('stolen').read()
def linked():
    if not os.path.lexists('link'): os.symlink(path, 'link')
    return open('link').read()
for way in (*tries(), copied, linked):
    try:
        print(way())
    except BaseException as error:
        print(type(error).__name__)
"""


@attack()
def read_key_file(arena: Arena) -> Outcome:
    """Read a private key in a home, by every way to a file."""
    result = arena.run(arena.session, READ_EVERY_WAY, path=arena.key)
    assert result.stdout, result
    return not arena.leaks(result), result.stdout[-200:]


@attack(levels=(3,))
def stat_key_file(arena: Arena) -> Outcome:
    """Learn a private file's size, which only a mount namespace hides."""
    seen = arena.ask(arena.session, """
try:
    tell(size=os.stat(path).st_size)
except OSError as error:
    tell(error=errno.errorcode[error.errno])
""", path=arena.notes)
    return seen.get("size") is None and "error" in seen, str(seen)


@attack()
def list_home(arena: Arena) -> Outcome:
    """Learn the names of files in a home."""
    result = arena.run(arena.session, """
import glob, subprocess
for way in (lambda: os.listdir(path), lambda: [e.name for e in os.scandir(path)], lambda: glob.glob(path + '/**', recursive=True),
            lambda: subprocess.run(['ls', '-laR', path], capture_output=True, text=True).stdout,
            lambda: os.listdir(os.open(path, os.O_PATH)), lambda: os.listdir('/proc/self/fd/%d' % os.open(path, os.O_PATH))):
    try:
        print(way())
    except BaseException as error:
        print(type(error).__name__)
""", path=arena.home / "projects")
    return bool(result.stdout) and arena.secret[:8] not in result.stdout + result.text, result.stdout[-200:]


@attack()
def watch_home(arena: Arena) -> Outcome:
    """Have the kernel tell the names of files as they are used."""
    seen = arena.ask(arena.session, """
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(0)
ok = libc.inotify_add_watch(fd, path.encode(), 0xFFF)
tell(watch=ok, error=errno.errorcode.get(ctypes.get_errno()))
""", path=arena.home)
    return seen.get("watch") == -1, str(seen)


@attack()
def read_attribute(arena: Arena) -> Outcome:
    """Read an extended attribute of a file at home."""
    result = arena.run(arena.session, """
import subprocess
for way in (lambda: os.getxattr(path, 'user.origin'), lambda: os.getxattr(path, 'user.origin', follow_symlinks=False),
            lambda: os.getxattr('/proc/self/fd/%d' % os.open(path, os.O_PATH), 'user.origin'), lambda: os.listxattr(path)):
    try:
        print(way())
    except BaseException as error:
        print(type(error).__name__, error)
""", path=arena.notes)
    return bool(result.stdout) and not arena.leaks(result) and "user.origin" not in result.stdout, result.stdout[-200:]


@attack()
def write_outside(arena: Arena) -> Outcome:
    """Make, change, replace and remove files at home."""
    with arena.unchanged() as found:
        seen = arena.ask(arena.session, """
import shutil, subprocess
def write(mode, path):
    with open(path, mode) as file: file.write('spoilt')
open('mine', 'w').write('x')
tell(errors=[attempt(write, 'w', home + '/new'), attempt(write, 'a', home + '/notes.txt'), attempt(write, 'r+', home + '/notes.txt'),
    attempt(write, 'w', home + '/notes.txt'), attempt(os.mkdir, home + '/folder'), attempt(os.mkfifo, home + '/fifo'),
    attempt(os.symlink, '/', home + '/link'), attempt(os.remove, home + '/notes.txt'), attempt(os.rmdir, home + '/projects'),
    attempt(os.rename, home + '/notes.txt', home + '/other'), attempt(os.rename, home + '/notes.txt', 'taken'),
    attempt(os.replace, 'mine', home + '/notes.txt'), attempt(os.link, 'mine', home + '/mine'), attempt(shutil.rmtree, home),
    attempt(subprocess.run, ['sh', '-c', 'echo x >> "$0"/notes.txt; cp mine "$0"/; rm -rf "$0"', home])])
""", home=arena.home)
    return not found and "errors" in seen, "; ".join(found) or str(seen)


@attack()
def truncate_outside(arena: Arena) -> Outcome:
    """Empty a file at home: by path, by opening it for reading only, by opening it for nothing."""
    with arena.unchanged() as found:
        seen = arena.ask(arena.session, """
tell(errors=[attempt(os.truncate, path, 0)] + [attempt(os.open, path, flags | os.O_TRUNC) for flags in (0, 1, 2, 3)]
    + [attempt(os.truncate, '/proc/self/fd/%d' % os.open(path, os.O_PATH), 0)] if os.path.exists(path) else ['not there'])
""", path=arena.notes)
    return not found, "; ".join(found) or str(seen)


CHANGE_METADATA = """
def by_handle(function, *args, flags=os.O_PATH):
    fd = os.open(path, flags)
    try:
        function(fd, *args)
    finally:
        os.close(fd)
def through_proc(function, *args):
    fd = os.open(path, os.O_PATH)
    function('/proc/self/fd/%d' % fd, *args)
def verity(fd):
    import fcntl
    fcntl.ioctl(fd, 0x40086602, (0x80).to_bytes(8, 'little'))
errors = {}
for name, function, args in CHANGES:
    errors[name] = [attempt(function, path, *args), attempt(by_handle, function, *args),
                    attempt(lambda: by_handle(function, *args, flags=os.O_RDONLY)), attempt(through_proc, function, *args)]
errors['flags'] = attempt(lambda: by_handle(verity, flags=os.O_RDONLY))
errors['lchown'] = attempt(os.lchown, path, -1, os.getgid())
tell(**errors)
"""


def changes(arena: Arena, listed: str, path: Path, session: object = None, tops: tuple[Path, ...] = ()) -> Outcome:
    with arena.unchanged(*tops) as found:
        seen = arena.ask(session or arena.session, f"CHANGES = {listed}\n" + CHANGE_METADATA, path=path)
    return not found and "error" not in seen, "; ".join(found) or str(seen)


@attack()
def chmod_at_home(arena: Arena) -> Outcome:
    """Make a private file public."""
    return changes(arena, "[('chmod', os.chmod, (0o777,))]", arena.key)


@attack()
def utime_at_home(arena: Arena) -> Outcome:
    """Change the times of a file: what `touch` does."""
    return changes(arena, "[('utime', os.utime, ((5, 5),)), ('touch', os.utime, ())]", arena.notes)


@attack()
def setxattr_at_home(arena: Arena) -> Outcome:
    """Set and remove extended attributes."""
    return changes(arena, "[('set', os.setxattr, ('user.note', b'x')), ('remove', os.removexattr, ('user.origin',))]",
                   arena.notes)


@attack()
def chown_at_home(arena: Arena) -> Outcome:
    """Change owner and group: succeeds for one's own, and marks the change in ctime and set-id bits."""
    os.chmod(arena.notes, 0o2755)
    return changes(arena, "[('chown', os.chown, (-1, os.getgid()))]", arena.notes)


@attack()
def symlink_out_of_the_workspace(arena: Arena) -> Outcome:
    """Read and write through links planted in the workspace, in the session and when the host tidies up."""
    with arena.unchanged() as found, arena.fresh() as session:
        result = arena.run(session, """
os.symlink(home, 'folder'); os.symlink(home + '/notes.txt', 'notes'); os.symlink('/proc/self/root' + home, 'around')
os.mkdir('deep'); os.symlink(home, 'deep/folder'); os.symlink('../' * 30 + home[1:], 'up')
for path in ('folder/.ssh/id_probe', 'around/.ssh/id_probe', 'deep/folder/.ssh/id_probe', 'up/.ssh/id_probe'):
    print(attempt(lambda: print(open(path).read())))
    print(attempt(lambda: open(path, 'a').write('x')))
print(attempt(lambda: open('notes', 'w').write('x')))
""", home=arena.home)
    return not found and not arena.leaks(result) and bool(result.stdout), "; ".join(found) or result.stdout[-200:]


@attack()
def folder_swapped_for_a_link(arena: Arena) -> Outcome:
    """Lead the host, which looks at changed folders, out of the workspace by exchanging one for a link."""
    with arena.unchanged() as found, arena.fresh() as session:
        result = arena.run(session, """
import shutil
for name in 'abcdefgh':
    os.mkdir(name)
    open(name + '/file', 'w').write('x')
    shutil.rmtree(name)
    os.symlink(home + '/projects', name)
    os.mkdir(name + name)
    os.rename(name, name + '1')
    os.rename(name + name, name)
    os.rmdir(name)
    os.rename(name + '1', name)
print('done')
""", home=arena.home)
        second = session.run("print(1)")
        told = [name for each in (result, second) for name in each.files if arena.secret[:8] in name]
    return not found and not told and "done" in result.stdout, "; ".join(found) or str(told or result.files)


@attack()
def hard_link_into_the_workspace(arena: Arena) -> Outcome:
    """Give a file at home a second name inside the workspace, then change it there."""
    with arena.unchanged() as found:
        seen = arena.ask(arena.session, """
def by_handle():
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_PATH)
    if libc.linkat(fd, b'', -100, b'hard3', 0x1000) < 0:
        raise OSError(ctypes.get_errno(), 'linkat')
tell(errors=[attempt(os.link, path, 'hard1'), attempt(lambda: os.link('/proc/self/fd/%d' % os.open(path, os.O_PATH), 'hard2', follow_symlinks=True)),
             attempt(by_handle), attempt(lambda: open('hard1', 'r+').write('x'))], here=[n for n in os.listdir('.') if 'hard' in n])
""", path=arena.notes)
    return not found and seen.get("here") == [], "; ".join(found) or str(seen)


@attack()
def change_a_read_only_folder(arena: Arena) -> Outcome:
    """Change what the user gave to read, by every means."""
    given = arena.top / "given"
    given.mkdir(exist_ok=True)
    (given / "data.csv").write_text("a,b\n1,2\n")
    arena.own(given)
    with arena.fresh(read=[given]) as session:
        with arena.unchanged(given) as found:
            seen = arena.ask(session, """
def write(mode, name):
    with open(folder + name, mode) as file: file.write('spoilt')
def swap():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, (folder + '/data.csv').encode(), -100, b'swap', 2) < 0: raise OSError(ctypes.get_errno(), 'x')
open('swap', 'w').write('x')
read = open(folder + '/data.csv').read()
tell(read=read, errors=[attempt(write, 'a', '/data.csv'), attempt(write, 'w', '/new'), attempt(os.truncate, folder + '/data.csv', 0),
    attempt(os.open, folder + '/data.csv', os.O_RDONLY | os.O_TRUNC), attempt(os.open, folder + '/data.csv', 3 | os.O_TRUNC),
    attempt(os.remove, folder + '/data.csv'), attempt(os.rename, folder + '/data.csv', 'data'), attempt(swap),
    attempt(os.link, folder + '/data.csv', 'linked'), attempt(lambda: open('linked', 'r+').write('x'))])
""", folder=given)
        stopped, detail = changes(arena, "[('chmod', os.chmod, (0o777,)), ('utime', os.utime, ((5, 5),)), ('set', os.setxattr, ('user.x', b'x'))]",
                                  given / "data.csv", session, (given,))
    if seen.get("read") != "a,b\n1,2\n":
        return False, f"the folder could not even be read: {seen}"
    return not found and stopped, "; ".join(found) or detail


@attack()
def write_where_programs_live(arena: Arena) -> Outcome:
    """Leave a file where the host would find it: Python's folders, the system's, what the environment names."""
    mark = f"codeact-probe-{secrets.token_hex(4)}"
    seen = arena.ask(arena.session, """
import site, sysconfig
places = {*sys.path, sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), os.path.dirname(os.__file__),
          '/', '/etc', '/usr', '/usr/local/lib', '/var/tmp', '/var', '/run', '/opt', '/dev', '/dev/shm', '/tmp', '/home', '/root', '/sys', here}
for value in os.environ.values():
    places.update(p for p in value.split(':') if p.startswith('/'))
work = os.getcwd()
made = []
for place in places:
    if place and not (place + '/').startswith(work) and attempt(lambda: open(place + '/' + mark, 'w').close()) is None:
        made.append(place)
tell(made=sorted(made))
""", mark=mark, here=str(Path(__file__).parents[3] / "src" / "codeact"))
    workspace = str(arena.session.workspace)
    left = []
    for place in [*seen.get("made", ()), *os.environ["PATH"].split(":"), "/tmp", "/dev/shm", "/var/tmp", "/etc", "/"]:
        path = Path(place) / mark
        # What the session saw as its own /tmp is nowhere of the host's
        if not str(path).startswith(workspace) and os.path.lexists(path) and not own_scratch(arena, path):
            left.append(place)
            path.unlink()
    return not left and "made" in seen, str(left or seen)


def own_scratch(arena: Arena, path: Path) -> bool:
    """Whether a path lies in the private folder the session's workspace lies in."""
    folder = arena.session.workspace.parents[1]   # of its spaces, and of its private /tmp where it has no other
    return folder in path.parents and folder.parent.name.startswith("codeact-")


@attack()
def set_id_file_in_the_workspace(arena: Arena) -> Outcome:
    """Leave a shell behind that lends the user's identity to everyone on the machine."""
    with arena.fresh() as session:
        seen = arena.ask(session, """
import shutil, tarfile
shutil.copy('/bin/sh', 'shell')
def make(name, mode):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, mode))
def by_handle(mode):
    fd = os.open('shell', os.O_RDONLY)
    os.fchmod(fd, mode)
tell(errors=[attempt(os.chmod, 'shell', 0o4755), attempt(os.chmod, 'shell', 0o2755), attempt(by_handle, 0o6755), attempt(make, 'made', 0o4755),
    attempt(os.mknod, 'node', 0o104755), call(452, 452, -100, b'shell', 0o4755, 0), call(437, 437, -100, b'how',
    (ctypes.c_uint64 * 3)(0o101, 0o4755, 0), 24)])
""")
        found = [str(p) for p in session.workspace.rglob("*") if os.lstat(p).st_mode & 0o6000]
    return not found and "errors" in seen, str(found or seen)


@attack()
def inherited_descriptor(arena: Arena) -> Outcome:
    """Read from descriptors the host had open when the session began."""
    fd = os.open(arena.key, os.O_RDONLY)
    folder = os.open(arena.home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for each in (fd, folder):
            os.set_inheritable(each, True)
        with arena.fresh() as session:
            result = arena.run(session, """
for fd in range(3, 1024):
    for way in (lambda: os.pread(fd, 200, 0), lambda: open(os.open('.ssh/id_probe', os.O_RDONLY, dir_fd=fd)).read()):
        try:
            print(fd, way())
        except OSError:
            pass
print('done')
""")
    finally:
        os.close(fd)
        os.close(folder)
    return "done" in result.stdout and not arena.leaks(result), result.stdout[-200:]


@attack()
def stubborn_workspace(arena: Arena) -> Outcome:
    """Make a workspace that is hard to remove: very deep, unreadable, with odd names."""
    with arena.unchanged() as found:
        with arena.fresh() as session:
            seen = arena.ask(session, """
os.symlink(home, 'link')
os.mkdir('locked'); open('locked/file', 'w').write('x'); os.mkdir('locked/inner'); os.symlink(home, 'locked/inner/link')
os.chmod('locked/inner', 0); os.chmod('locked', 0)
open(b'odd\\xff\\n name', 'w').write('x')
top = os.getcwd()
for _ in range(1200):
    os.mkdir('dddddddd'); os.chdir('dddddddd')
os.chdir(top)
tell(done=True)
""", home=arena.home)
            workspace = session.workspace
        left = os.path.lexists(workspace)
    return not found and not left and seen.get("done") is True, "; ".join(found) or ("left behind" if left else str(seen))

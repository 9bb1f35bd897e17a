/** Turns that change files: every mutating system call, in a file that is still the developer's, in one that the session has made, and in the other tracked roots. */

import { kit, one, otherSpots, spots, type Scenario, type Spot, type Suite } from './corpus.ts';

/** family, name, script in a directory that holds a kit. */
type Operation = readonly [family: string, name: string, run: string];

export const operations: readonly Operation[] = [
  ['write', 'write', '$M write file hello'],
  ['write', 'append', '$M append file more'],
  ['write', 'pwrite', '$M pwrite file 5000 inside'],
  ['write', 'writev', '$M writev file twice'],
  ['write', 'pwritev', '$M pwritev file three'],
  ['write', 'pwritev2', '$M pwritev2 file appended'],
  ['write', 'the same bytes', '$M write small some'],
  ['write', 'redirection', 'echo replaced > file'],
  ['write', 'sed -i', 's=$(sed -n 1p file); sed -i 1s/1/one/ file'],
  ['write', 'dd conv=notrunc', 'printf Z | dd of=file bs=1 seek=9 conv=notrunc status=none'],
  ['truncate', 'truncate', '$M truncate file 100'],
  ['truncate', 'ftruncate', '$M ftruncate file 5000'],
  ['truncate', 'growing', '$M truncate file 1000000'],
  ['truncate', 'O_TRUNC', '$M truncating file'],
  ['fallocate', 'extend', '$M fallocate file extend 0 40960'],
  ['fallocate', 'punch-hole', '$M fallocate file punch-hole 4096 4096'],
  ['fallocate', 'zero-range', '$M fallocate file zero-range 4096 4096'],
  ['fallocate', 'zero-keep', '$M fallocate file zero-keep 0 4096'],
  ['fallocate', 'collapse-range', '$M fallocate file collapse-range 0 4096'],
  ['fallocate', 'insert-range', '$M fallocate file insert-range 4096 4096'],
  ['copy', 'copy_file_range', '$M copy-range other file'],
  ['copy', 'sendfile', '$M sendfile other file'],
  ['copy', 'splice', '$M splice other file'],
  ['copy', 'tee', '$M tee other file'],
  ['copy', 'vmsplice', '$M vmsplice file piped'],
  ['copy', 'cp --reflink=auto', 'cp --reflink=auto other copied'],
  ['copy', 'cp -a of a tree', 'cp -a dir copied'],
  ['mapped', 'first store', '$M mmap file 10 stored'],
  ['mapped', 'repeated store', '$M mmap-twice file 5000 again'],
  ['mapped', 'store and msync', '$M mmap-msync file 20 synced'],
  ['times', 'utimensat', '$M utimensat file 1000000000 5'],
  ['times', 'futimens', '$M futimens file 1000000001 6'],
  ['times', 'utimes', '$M utimes file 1000000002'],
  ['times', 'of a link', '$M utimensat link 1000000003 7'],
  ['times', 'touch', 'touch small'],
  ['mode', 'chmod', '$M chmod file 0600'],
  ['mode', 'fchmod', '$M fchmod file 0640'],
  ['mode', 'fchmodat2', '$M fchmodat2 file 0755'],
  ['mode', 'of a directory', '$M chmod dir 0700'],
  ['mode', 'set-user-id', '$M chmod file 04755'],
  ['owner', 'chown', '$M chown file 1000 1000'],
  ['owner', 'lchown of a link', '$M lchown link 1000 1000'],
  ['owner', 'fchown', '$M fchown file 1 2'],
  ['owner', 'fchownat', '$M fchownat file 3 4'],
  ['owner', 'of a directory', '$M chown dir 1000 0'],
  ['xattr', 'setxattr', '$M setxattr file user.one value'],
  ['xattr', 'lsetxattr', '$M lsetxattr attr user.corpus second'],
  ['xattr', 'fsetxattr', '$M fsetxattr file user.two value'],
  ['xattr', 'removexattr', '$M removexattr attr user.corpus'],
  ['xattr', 'fremovexattr', '$M fremovexattr attr user.corpus'],
  ['xattr', 'of a directory', '$M setxattr dir user.one value'],
  ['create', 'creat', '$M creat new'],
  ['create', 'O_EXCL', '$M exclusive new'],
  ['create', 'mknod', '$M mknod new'],
  ['create', 'mkdir', '$M mkdir new'],
  ['create', 'mkdirat', '$M mkdirat dir/new'],
  ['create', 'symlink', '$M symlink nowhere new'],
  ['create', 'fifo', '$M mkfifo new'],
  ['create', 'socket by bind', '$M bind new.sock'],
  ['create', 'socket by mknod', '$M mksocket new.sock'],
  ['create', 'O_TMPFILE and linkat', '$M tmpfile . new unnamed'],
  ['create', 'odd names', "touch -- 'a b' '-x' \"it's\" 'ä' '*'"],
  ['link', 'link', '$M link file new'],
  ['link', 'linkat', '$M linkat link new'],
  ['link', 'a third name', '$M link hard hardest'],
  ['link', 'write through a second name', '$M append harder more'],
  ['link', 'a pair taken apart', 'cp -p hard copy && mv copy hard'],
  ['link', 'two alike put together', 'cp -p file twin && ln -f file twin'],
  ['rename', 'rename', '$M rename file renamed'],
  ['rename', 'over another', '$M rename file other'],
  ['rename', 'of a directory', '$M rename dir moved'],
  ['rename', 'into a directory', '$M rename file dir/file'],
  ['rename', 'exchange', '$M exchange file other'],
  ['rename', 'exchange file and directory', '$M exchange file dir'],
  ['rename', 'noreplace', '$M noreplace file renamed'],
  ['rename', 'write, then rename over', 'echo next > file.tmp && mv file.tmp file'],
  ['remove', 'unlink', '$M unlink file'],
  ['remove', 'unlinkat', '$M unlinkat link'],
  ['remove', 'rmdir', '$M rmdir empty'],
  ['remove', 'rmdirat', '$M rmdirat empty'],
  ['remove', 'rm -rf of a tree', 'rm -rf dir'],
  ['remove', 'one of two names', '$M unlink harder'],
  ['remove', 'and put a directory there', 'rm file && mkdir file'],
  ['remove', 'a tree, and make it again differently', 'rm -rf dir && mkdir dir && echo z > dir/three'],
];

function at(spot: Spot, index: number): string {
  return `${spot.directory}/f${index}`;
}

function scenario(spot: Spot, index: number): Scenario | undefined {
  const operation = operations[index];
  if (!operation) return undefined;
  const [family, name, run] = operation;
  return one(family, `${name} (${spot.name})`, 'files', `cd ${at(spot, index)} && ${run}`);
}

function prepared(family: string, spot: Spot, indexes: readonly number[]): Scenario {
  return {
    family,
    name: `prepare ${spot.name}`,
    steps: [{ name: 'kit', run: indexes.map((index) => kit(at(spot, index))).join('; ') }],
  };
}

const all = operations.map((_, index) => index);

/** Shares of the operations for the other tracked roots: every operation once, every root often. */
const elsewhere = otherSpots.map((spot, place) => ({
  spot,
  indexes: all.filter((index) => index % otherSpots.length === place),
}));

export const fileSuites: readonly Suite[] = [
  {
    name: 'files of the developer',
    prepareFolder: all.map((index) => kit(at(spots.lower, index))).join('; '),
    scenarios: all.flatMap((index) => scenario(spots.lower, index) ?? []),
  },
  {
    name: 'files of the session',
    scenarios: [
      prepared('write', spots.upper, all),
      ...all.flatMap((index) => scenario(spots.upper, index) ?? []),
    ],
  },
  {
    name: 'files in other roots',
    scenarios: elsewhere.flatMap(({ spot, indexes }) => [
      prepared('write', spot, indexes),
      ...indexes.flatMap((index) => scenario(spot, index) ?? []),
    ]),
  },
];

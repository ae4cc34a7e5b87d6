#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The checks at the end of every test find what they look for.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $dir = Weir::folder();

# A program that does what the test says, instead of weir.
sub bad
{
	my ($name, $script, @want) = @_;

	Weir::spew("$dir/fake", "#!/bin/sh\ntrap : TERM\n$script\n");
	chmod 0755, "$dir/fake";
	local $Weir::PROGRAM = "$dir/fake";
	local $Weir::PATIENCE = 1;
	my $w = Weir->start(wait => 0, conf => '');
	my $status = $w->ended;
	my @bad = $w->remains;

	$w->finish;
	is(scalar @bad, scalar @want, "$name: " . @want . ' complaints') or
	    diag(@bad);
	like($bad[$_] // '', $want[$_], "$name is found") for 0 .. $#want;
	return $status;
}

is(bad('nothing', 'exit 3'), 3, 'an exit status');
is(bad('a signal', 'trap - TERM; kill -TERM $$'), 'signal 15', 'a signal');
bad('a process left', 'tail -f /dev/null >/dev/null 2>&1 & exit 0',
    qr/^left: \d+ /);
bad('a sanitizer', 'echo "==1==ERROR: AddressSanitizer: oh" >&2',
    qr/AddressSanitizer/);
bad('undefined behaviour', 'echo "a.c:1: runtime error: oh" >&2',
    qr/runtime error/);
bad('an assert', 'echo "weir: a.c:1: f: Assertion \`x\' failed." >&2',
    qr/Assertion/);
bad('a gauge', 'echo "leak: 1 sessions" >&2', qr/leak: 1/);
bad('memcheck', 'echo "==1== Invalid read of size 1" >"$4/valgrind.1"',
    qr/Invalid read/);
bad('a crash', 'echo "weir: worker 0[1]: SIGSEGV, stack:" >&2',
    qr/SIGSEGV/);

# A wait for what does not come fails, and says what it was.
{
	local $Weir::PROGRAM = "$dir/fake";
	local $Weir::PATIENCE = 1;
	Weir::spew("$dir/fake", "#!/bin/sh\nexec tail -f /dev/null\n");
	my $w = Weir->start(wait => 0, conf => '');
	ok(!eval { $w->logged(qr/nobody says this/); 1 }, 'a wait ends');
	like($@, qr/nobody says this/, 'and names what did not come');
	$w->signal('KILL');
	is($w->ended, 'signal 9', 'a killed one is seen');
	ok(!eval { $w->logged(qr/this/); 1 } && $@ =~ /has gone/,
	    'nobody waits for the dead');
	$w->finish;
}

# Streams: lost, doubled and exchanged blocks are noticed.
my $s = Weir::Peer::stream(3 * 65536);
is(Digest::MD5::md5_hex($s), Weir::Peer::stream_md5(3 * 65536),
    'a stream and its sum');
isnt(Digest::MD5::md5_hex(substr($s, 65536, 65536) . substr($s, 0, 65536) .
    substr $s, 131072), Weir::Peer::stream_md5(3 * 65536),
    'exchanged blocks give another sum');
ok(!-e $_, 'a folder goes away') for do {
	my $f = Weir::folder();
	"$f";
};
done_testing();

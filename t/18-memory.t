#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The configuration is one value: the same pages in all processes, at the same
# address, and nobody can write them.
use strict;
use warnings;
no warnings 'portable';    # addresses are 64 bits
use lib 't/lib';
use Test::More;
use Weir;

Weir::not_under_valgrind('it measures memory');
plan(skip_all => 'no /proc/self/smaps') unless -e '/proc/self/smaps';

# 10,000 servers are a few megabytes.
my $many = join ', ', map {
	my $n = $_;
	'"10.' . ($n >> 16 & 255) . '.' . ($n >> 8 & 255) . '.' . ($n & 255) .
	    ':80"';
} 1 .. 10_000;
my $w = Weir->start(workers => 3, listen => [Weir::listener()],
    conf => <<"EOT");
upstreams = { big = { servers = ( $many ); }; };
listeners = { web = { listen = "fd:3"; upstream = "big"; }; };
EOT

# Mappings of a file: address, rights, and the numbers of smaps.
sub maps
{
	my ($pid, $name) = @_;
	my @maps;

	for (split /\n/, Weir::slurp("/proc/$pid/smaps")) {
		if (/^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)\s*(.*)/) {
			push @maps, { at => $1, bytes => hex($2) - hex($1),
				mode => $3, inode => $4, file => $5 };
		} elsif (/^(\w+):\s+(\d+) kB/) {
			$maps[-1]{$1} = $2 * 1024;
		}
	}
	return grep { $_->{file} =~ $name } @maps;
}

my ($control) = $w->pids('control');
my @all = ($w->{pid}, $w->workers, $control);
sub same_value
{
	my ($when) = @_;
	my @of = map { [maps($_, qr/weir configuration/)] } @all;

	is(join(' ', map { scalar @$_ } @of), '1 1 1 1 1',
	    "$when: every process has it, once");
	my @m = map { $_->[0] } @of;
	my %at = map { $_->{at} => 1 } @m;
	my %inode = map { $_->{inode} => 1 } @m;
	is(scalar keys %at, 1, "$when: at the same address");
	is(scalar keys %inode, 1, "$when: the same memory");
	is(join(' ', map { substr $_->{mode}, 0, 3 } @m),
	    join(' ', ('r--') x 5), "$when: readable only");
	# Pages that one has looked at alone are "private"; copies are these.
	is(join(' ', map { $_->{Anonymous} } @m), '0 0 0 0 0',
	    "$when: nobody has pages of his own");
	return \@m;
}

my $m = same_value('at start');
my $first = $m->[0];
cmp_ok($first->{bytes}, '>', 1 << 20, 'it is worth sharing');
cmp_ok($first->{Pss}, '<', $first->{Rss}, 'and it is shared');

# A reload is the same again, elsewhere; the old one goes.
my ($st, $text) = $w->reload(<<"EOT");
upstreams = { big = { servers = ( $many, "127.0.0.1:81" ); }; };
listeners = { web = { listen = "fd:3"; upstream = "big"; }; };
EOT
is($st, 0, 'a reload') or diag($text);
$w->until('the old one to go', sub {
	return !grep { maps($_, qr/weir configuration/) != 1 } @all;
});
$m = same_value('after a reload');
isnt($m->[0]{inode}, $first->{inode}, 'it is another value');

# Forty more: no more mappings, no more descriptors.
my $fds = $w->fds($w->{pid});
for my $n (1 .. 40) {
	($st, $text) = $w->reload(<<"EOT");
upstreams = { app = { servers = ( "127.0.0.1:$n" ); }; };
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	next if $st == 0;
	fail("reload $n: $text");
	last;
}
$w->until('the old ones to go', sub {
	return !grep { maps($_, qr/weir configuration/) != 1 } @all;
});
same_value('after many');
$w->until('descriptors to go', sub { $w->fds($w->{pid}) <= $fds });
pass('as many descriptors as before');

# Even a debugger, whom other rights do not stop, cannot write it: the mapping
# can never be made writable.  The shared region, which can be, is the control.
sub write_back
{
	my ($pid, $name) = @_;
	my ($map) = maps($pid, $name);

	open my $mem, '+<', "/proc/$pid/mem" or return "open: $!";
	binmode $mem;
	sysseek $mem, hex $map->{at}, 0;
	sysread $mem, my $byte, 1 or return "read: $!";
	sysseek $mem, hex $map->{at}, 0;
	return syswrite($mem, $byte) ? 'written' : 'refused';
}

SKIP: {
	my ($victim) = $w->pids('worker 0');
	my $shared = write_back($victim, qr/weir shared/);
	skip "memory of others is not to be had: $shared", 1
	    if $shared ne 'written';
	is(write_back($victim, qr/weir configuration/), 'refused',
	    'nobody can write the configuration');
}

# The shared region is one, too.
my %region = map { $_->{inode} => 1 } map { maps($_, qr/weir shared/) } @all;
is(scalar keys %region, 1, 'one region of counters');
$w->stop;
done_testing();

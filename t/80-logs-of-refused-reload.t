#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# A reload that is refused closes the log files that it has opened and nothing
# else: it once closed whatever had the numbers of files closed long before,
# channels of workers among them.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $busy = Weir::listener();

sub conf
{
	my (%o) = @_;
	my $also = $o{busy} ? qq(, "@{[Weir::addr_of($busy)]}") : '';

	$o{more} //= '';
	return <<"EOT";
upstreams = { e = { servers = "@{[$echo->addr]}"; }; };
listeners = { web = { listen = ( "fd:3"$also ); upstream = "e"; }; };
$o{more}
EOT
}

# What the master has open.
sub open_files
{
	my ($w) = @_;
	my $dir = '/proc/' . $w->master . '/fd';

	opendir my $d, $dir or die "$dir: $!";
	return join "\n", sort map { "$_ " . (readlink("$dir/$_") // '') }
	    grep { /^\d+$/ } readdir $d;
}

# Log files are opened again, then processes die: their channels get the
# numbers that the old files had.
{
	my $w = Weir->start(listen => [Weir::listener()], workers => 4,
	    conf => conf());
	my %old = map { $_ => 1 } $w->workers;

	is(scalar $w->reload, '0', 'a reload');
	is(($w->ask('reopen'))[0], '0', 'log files are opened again');
	$w->signal('STOP');
	kill 'KILL', keys %old;
	$w->signal('CONT');
	ok($w->until('four other workers', sub {
		return 4 == grep { $_->{role} eq 'worker' &&
		    $_->{phase} eq 'ready' && !$old{$_->{pid}} }
		    @{$w->status->{processes}};
	}), 'all workers have died and come again');
	my $before = open_files($w);
	is(scalar $w->reload(conf(busy => 1)), '1', 'a reload is refused');
	is(open_files($w), $before, 'the master has what it had');
	is(scalar $w->reload(conf()), '0', 'the next one is not');
	$w->stop;
}

# One of the two logs is no file of ours.
{
	my $more = <<'EOT';
error_log = "stderr";
watchdog = { limit = "off"; };
EOT
	my $w = Weir->start(listen => [Weir::listener()], workers => 1,
	    conf => conf(more => $more));
	# Too short for one that takes the place of a stopped one.
	my $short = conf(more => $more . qq(reload_timeout = "20ms";\n));
	my @workers = $w->workers;
	my $before = open_files($w);

	$w->signal('STOP', @workers);
	is(scalar $w->reload($short), '1', 'a worker is silent: refused')
	    for 1 .. 2;
	is(open_files($w), $before, 'no log file is left open');
	$w->signal('CONT', @workers);
	$w->stop;
}
done_testing;

#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What happens to sessions that run when their server fails, is removed, or
# is no longer needed; and from which address weir connects.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my ($one, $two, $spare) = map { Weir::Peer->echo } 1 .. 3;
my @listen = map { Weir::listener() } 1 .. 5;
my $own = Weir::listener();

# $state: of the first server of each group.  $primary: the last of one group
# is no backup.
sub conf
{
	my ($state, $first, $spread, $primary) = @_;
	my $backup = $primary ? 'false' : 'true';
	my $one_of = $first ? qq({ name = "one"; address = "@{[$one->addr]}";
	    state = "$state"; },) : '';
	my $others = qq({ name = "two"; address = "@{[$two->addr]}"; },
	    { name = "spare"; address = "@{[$spare->addr]}"; backup = true; });
	my $only = $state eq 'up' ? $one_of : '';

	return <<"EOT";
timeouts = { spread = "$spread"; };
upstreams = {
	keep = { servers = ( $one_of $others ); };
	close = { servers = ( $one_of $others ); on_down = "close";
	    on_remove = "close"; };
	late = { servers = ( $one_of $others ); on_remove = "200ms"; };
	back = { servers = ( $only { name = "spare";
	    address = "@{[$spare->addr]}"; backup = $backup; } );
	    on_up = "close_backup"; };
	own = { servers = "127.0.0.1:@{[$own->sockport]}";
	    source = [ "127.0.0.8", "127.0.0.9" ]; };
};
listeners = {
	l0 = { listen = "fd:3"; upstream = "keep"; };
	l1 = { listen = "fd:4"; upstream = "close"; };
	l2 = { listen = "fd:5"; upstream = "late"; };
	l3 = { listen = "fd:6"; upstream = "back"; };
	l4 = { listen = "fd:7"; upstream = "own"; };
};
EOT
}

my $w = Weir->start(listen => \@listen, workers => 2,
    conf => conf('up', 1, '0s'));

# A session and the name of its server.
sub session
{
	my ($i, $name) = @_;
	my $c = $w->connect($i);

	syswrite $c, "hi\n";
	my $got = '';
	1 while $got !~ /\n/ && sysread $c, $got, 100, length $got;
	return $c;
}

sub active
{
	my ($upstream, $server) = @_;

	return $w->status->{upstreams}{$upstream}{servers}{$server}{active};
}

# Sessions until each of the two servers has one or more; by server.
sub spread_out
{
	my ($i, $upstream) = @_;
	my %of = (one => [], two => []);

	for (1 .. 100) {
		my $was = active($upstream, 'one');
		my $c = session($i);
		push @{$of{active($upstream, 'one') > $was ? 'one' : 'two'}}, $c;
		return \%of if @{$of{one}} && @{$of{two}};
	}
	die "no session on both servers\n";
}

sub is_open
{
	my ($c) = @_;

	syswrite $c, "still\n" or return 0;
	my $got = '';
	1 while $got !~ /\n/ && sysread $c, $got, 100, length $got;
	return $got ne '';
}

my ($keep, $close, $late) = map { spread_out($_->[0], $_->[1]) }
    [0, 'keep'], [1, 'close'], [2, 'late'];

is($w->reload(conf('down', 1, '0s')), 0, 'the first server is set down');
my $none;
ok(!sysread($_, $none, 100), 'on_down = "close" ends its sessions')
    for @{$close->{one}};
ok(is_open($_), 'others stay') for $close->{two}[0];
ok(is_open($_), 'on_down = "keep"') for @{$keep->{one}}, @{$late->{one}};

# The backup was used for lack of a primary; one comes.
my $backup = session(3);
is(active('back', 'spare'), 1, 'the backup has a session');
is($w->reload(conf('up', 1, '0s')), 0, 'the first server is up again');
ok(!sysread($backup, $none, 100), 'on_up = "close_backup" ends it');
my $from = session(3);
$w->until('the session of the primary', sub { active('back', 'one') == 1 });
is($w->reload(conf('down', 1, '0s', 1)), 0, 'the backup is made a primary');
my $stays = session(3);
is(active('back', 'spare'), 1, 'it has a session');
ok(is_open($stays), 'which stays');
is($w->reload(conf('up', 1, '0s')), 0, 'and a backup again');
ok(!sysread($stays, $none, 100), 'they are');
# Each worker has a turn of its own, so three sessions meet both addresses.
my %from = map { my $c = $w->connect(4); ($own->accept->peerhost => 1) } 1 .. 3;
is(join(' ', sort keys %from), '127.0.0.8 127.0.0.9',
    'source: own addresses, in turn');

$close = spread_out(1, 'close');
my $begin = Weir::now();
is($w->reload(conf('up', 0, '0s')), 0, 'the first server is removed');
ok(!sysread($_, $none, 100), 'on_remove = "close" ends its sessions')
    for @{$close->{one}};
ok(is_open($_), 'others stay') for $close->{two}[0];
ok(is_open($_), 'on_remove = "keep"') for @{$keep->{one}};
ok(!sysread($_, $none, 100), 'on_remove = TIME ends them') for @{$late->{one}};
cmp_ok(Weir::now() - $begin, '>=', 0.2, 'after that time');

# Spread.  When the sessions of a server that goes down have ended, by the log:
# in how many seconds, and at how many moments.
sub spread_over
{
	my ($ms) = @_;

	is($w->reload(conf('up', 1, "${ms}ms")), 0, 'and it is back');
	my @many = map { session(1) } 1 .. 80;
	my $n = active('close', 'one');
	my $from = length Weir::slurp("$w->{dir}/access.log");
	is($w->reload(conf('down', 1, "${ms}ms")), 0, 'and down');
	my @ends;
	$w->until('all are gone', sub {
		@ends = sort { $a <=> $b } map { Weir::time_of($_) }
		    grep { / weir\.relay\.server_down$/ } split /\n/,
		    substr Weir::slurp("$w->{dir}/access.log"), $from;
		return @ends == $n;
	});
	my %moment = map { int($_ / 0.02) => 1 } @ends;
	return ($ends[-1] - $ends[0], scalar keys %moment);
}

# On a busy machine a worker may have no turn in all of the time.
my ($spread, $took, $moments);
for (0.4, 1.6, 6.4) {
	($took, $moments) = spread_over(1000 * ($spread = $_));
	last if $took >= $spread / 2 && $moments > 4;
}
cmp_ok($took, '>=', $spread / 2, 'closes are spread over some time');
cmp_ok($moments, '>', 4, 'not all at once');
my $log = Weir::slurp("$w->{dir}/access.log");
like($log, qr/ $_$/m, "the log says $_")
    for 'weir.relay.server_down', 'weir.relay.server_removed',
    'weir.relay.close_backup';

($keep, $close, $late, $from, $backup) = ();
$w->stop;
done_testing();

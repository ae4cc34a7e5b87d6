#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# Passive ejection: sessions that fail take a server out for a while.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Peer;

# One session: what comes back to a word, or why none does.
sub try
{
	my ($w) = @_;
	my $s = $w->connect(0);
	my $got = eval { Weir::chat($s, 'x', 1) } // '';

	close $s;
	return $got eq 'x' ? 'ok' : 'bad';
}

sub server { my ($w, $name) = @_; $w->status->{upstreams}{app}{servers}{$name} }
sub lines { my ($w, $re) = @_; my @l = $w->log =~ /^(.*$re.*)$/mg; return @l }

# A server that echoes, or does something worse while the file is there.
sub moody
{
	my ($file, $bad) = @_;

	return Weir::Peer->server({
		data => sub {
			my ($p, $c, $bytes) = @_;
			return $bad->($p, $c) if -e $file;
			$p->put($c, $bytes);
		},
		eof => sub { $_[0]->end($_[1]) },
	});
}

sub conf
{
	my ($servers, $eject, $more) = @_;
	my @s = map { qq({ name = "$_->[0]"; address = "$_->[1]{addr}"; }) }
	    @$servers;

	return "upstreams = { app = { servers = ( " . join(', ', @s) .
	    " ); eject = $eject; " . ($more // '') . " }; };\n" .
	    qq(listeners = { web = { listen = "fd:3"; upstream = "app"; }; };\n);
}

# ---- Refused ---------------------------------------------------------------

{
	my $dead = Weir::Peer->refuses;
	my @good = map { Weir::Peer->echo } 1 .. 2;
	my $w = Weir->start(listen => [Weir::listener()], workers => 3,
	    conf => conf([[dead => $dead], [a => $good[0]], [b => $good[1]]],
		'{ failures = 4; for = "60s"; window = "60s"; }'));
	my @got = map { try($w) } 1 .. 60;
	is(scalar(grep { $_ eq 'ok' } @got), 60, 'no session is lost');
	like($w->logged(qr/is ejected/),
	    qr/dead of upstream app is ejected for 60s: 4 failures within 60s, /,
	    'ejected, and why');
	my $s = server($w, 'dead');
	is($s->{failures}, 4, 'it was dialled as often as it takes');
	is($s->{ejected}, 'yes', 'status says so');
	is(scalar(lines($w, qr/is ejected/)), 1, 'one line of all workers');
	my ($worker) = $w->workers;
	$w->signal('KILL', $worker);
	$w->until('another worker', sub {
		my @now = $w->workers;
		return @now == 3 && !grep { $_ == $worker } @now;
	});
	try($w) for 1 .. 20;
	is(server($w, 'dead')->{failures}, 4, 'a new worker knows it');
	$w->stop;
}

# ---- Mute: trial, longer, back ---------------------------------------------

{
	my $tmp = Weir::folder();
	my $file = $tmp->dirname . '/mute';
	Weir::spew($file, '1');
	my $mute = moody($file, sub {});
	my $good = Weir::Peer->echo;
	my $w = Weir->start(listen => [Weir::listener()],
	    conf => conf([[mute => $mute], [good => $good]],
		'{ failures = 2; for = "300ms"; max_for = "500ms"; }',
		'timeouts = { first_byte = "400ms"; };'));
	my $bad = 0;
	$w->until('the ejection', sub {
		$bad++ if try($w) eq 'bad';
		return lines($w, qr/is ejected/) > 0;
	});
	is($bad, 2, 'as many sessions fail as it takes');
	like((lines($w, qr/is ejected/))[0],
	    qr/for 300ms: 2 failures within 10s, the last: no first byte in time/,
	    'and it is told why');
	$w->until('a failed trial', sub {
		$bad++ if try($w) eq 'bad';
		return lines($w, qr/ejected for 500ms, 2 in a row: the trial failed/) > 0;
	});
	is($bad, 3, 'one session tries it');
	unlink $file;
	$w->until('a trial that goes well', sub {
		$bad++ if try($w) eq 'bad';
		return lines($w, qr/mute of upstream app is back/) > 0;
	});
	is($bad, 3, 'and then one that is lucky');
	is(server($w, 'mute')->{ejected}, 'no', 'it is back');
	my $before = server($w, 'mute')->{connects};
	try($w) for 1 .. 10;
	cmp_ok(server($w, 'mute')->{connects}, '>=', $before + 4,
	    'with its full part');
	$w->stop;
}

# ---- Reset before the first byte; at most a share --------------------------

{
	my @bad = map { Weir::Peer->resets(late => 1) } 1 .. 3;
	my $good = Weir::Peer->echo;
	my $w = Weir->start(listen => [Weir::listener()],
	    conf => conf([[r0 => $bad[0]], [r1 => $bad[1]], [r2 => $bad[2]],
		[good => $good]], '{ failures = 2; for = "60s"; }'));
	try($w) for 1 .. 40;
	is(scalar(lines($w, qr/is ejected.*reset before the first byte/)), 2,
	    'no more than max_percent are out');
	my @out = grep { server($w, $_)->{ejected} eq 'yes' } qw(r0 r1 r2 good);
	is(scalar(@out), 2, 'status agrees');
	isnt("@out", 'good', 'it is those that fail');
	$w->stop;
}

# ---- Panic -----------------------------------------------------------------

{
	my $tmp = Weir::folder();
	my $file = $tmp->dirname . '/resets';
	Weir::spew($file, '1');
	my $reset = sub { $_[0]->drop($_[1], 1) };
	my @s = map { moody($file, $reset) } 1 .. 2;
	my $conf = conf([[a => $s[0]], [b => $s[1]]],
	    '{ failures = 1; for = "60s"; max_percent = 100; }');
	my $w = Weir->start(listen => [Weir::listener()], conf => $conf);
	$w->until('all to be ejected', sub {
		try($w);
		return lines($w, qr/is ejected/) == 2;
	});
	unlink $file;
	is(try($w), 'ok', 'an ejected server rather than none') for 1 .. 6;
	is(scalar(lines($w, qr/using them \(panic\)/)), 1, 'told once');
	is($w->status->{upstreams}{app}{panics}, 6, 'and counted');
	is(server($w, 'a')->{ejected}, 'yes', 'they are ejected all the same');

	is(scalar($w->reload($conf =~ s/max_percent/panic = false; $&/r)), 0,
	    'no panic');
	is(try($w), 'bad', 'then none');
	like($w->session(1)->{line}, qr/./, 'there is a log');
	my @log = split /\n/, Weir::slurp("$w->{dir}/access.log");
	like($log[-1], qr/weir\.pick\.no_server/, 'which says why');
	$w->stop;
}

# Never one that fails its active check; and a group of one is never empty.
{
	my $sick = Weir::Peer->echo;
	my $bad = Weir::Peer->resets(late => 1);
	my $w = Weir->start(listen => [Weir::listener()], conf => <<"EOT");
upstreams = {
  app = { servers = ( { name = "sick"; address = "$sick->{addr}"; },
	{ name = "bad"; address = "$bad->{addr}"; } );
	eject = { failures = 1; for = "60s"; };
	health = { type = "script"; timeout = "500ms"; fast = "100ms";
	    steps = ( { send = "y"; expect = "^y\$|^z"; } ); }; };
};
listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
EOT
	# The echo passes the check, the one that resets does not.
	$w->logged(qr/server bad of upstream app is down/);
	$w->logged(qr/server sick of upstream app is up/);
	is(try($w), 'ok', 'only the one that passes its check') for 1 .. 4;
	$sick->ask('refuse');
	$w->until('the end of the other', sub {
		try($w);
		return lines($w, qr/sick of upstream app is (?:down|ejected)/);
	});
	try($w) for 1 .. 4;
	is(server($w, 'bad')->{picks}, 0, 'even if all else fails');
	$w->stop;
}

{
	my $bad = Weir::Peer->resets(late => 1);
	my $w = Weir->start(listen => [Weir::listener()],
	    conf => conf([[only => $bad]], '{ failures = 1; }'));
	try($w) for 1 .. 6;
	is(server($w, 'only')->{ejections}, 0, 'a group of one is never empty');
	is(server($w, 'only')->{picks}, 6, 'its server is used');
	$w->stop;
}

done_testing();

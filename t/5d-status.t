#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# protocol = "status": JSON, metrics and a page, by HTTP, whoever asks however.
use strict;
use warnings;
use lib 't/lib';
use Weir::Net;
use JSON::PP ();
use Test::More;
use Weir;
use Weir::Load;
use Weir::Peer;

my $WEB = '127.0.0.1:5001';
my $PAGE = '127.0.0.1:9090';
my $echo = Weir::Peer->echo;
my $none = Weir::Peer->refuses;

sub conf
{
	my ($page, $more) = @_;
	my $listener = $page ? qq(page = { listen = "$page";
	    protocol = "status"; label = "<i>&"; };) : '';

	$more //= '';
	return <<"EOT";
upstreams = {
	app = { servers = ( { name = "a<b>\\"\\\\"; address = "${\$echo->addr}"; },
	    { name = "gone"; address = "${\$none->addr}"; } );
	    health = { interval = "100ms"; fast = "100ms"; fall = 1; }; };
	empty = { servers = ( { address = "${\$none->addr}"; state = "drain"; } ); };
	$more
};
listeners = {
	web = { listen = "$WEB"; upstream = "app"; };
	$listener
};
EOT
}

# One request as it is; the whole answer, or what came before a reset.
sub raw
{
	my ($to, $bytes) = @_;
	my $s = Weir::dial($to);

	Weir::put($s, $bytes);
	return Weir::get($s, undef);
}

sub request
{
	my ($path, %o) = @_;

	return join("\r\n", ($o{method} // 'GET') . " $path HTTP/1.1",
	    'Host: localhost', @{$o{headers} // []}, '', '');
}

sub parse
{
	my ($text) = @_;
	my ($head, $body) = split /\r\n\r\n/, $text // '', 2;
	my ($line, @lines) = split /\r\n/, $head // '';
	my %a = (status => ($line // '') =~ m{^HTTP/1\.1 (\d{3}) \w} ? $1 : 0,
	    head => $head, header => {}, body => $body // '', whole => 1);

	for (@lines) {
		$a{header}{lc $1} = $2 if /^([\w-]+): (.*)$/;
	}
	if (($a{header}{'transfer-encoding'} // '') eq 'chunked') {
		my ($rest, $got) = ($a{body}, '');
		while ($rest =~ s/^([0-9a-f]+)\r\n//) {
			my $n = hex $1;
			last if length $rest < $n + 2;
			$got .= substr $rest, 0, $n;
			substr($rest, 0, $n + 2) = '';
			last if $n == 0;
		}
		@a{qw(body whole)} = ($got, $a{body} =~ /\r\n0\r\n\r\n\z/ &&
		    $rest eq '');
	}
	return \%a;
}

sub page
{
	my ($path, %o) = @_;

	return parse(raw($o{to} // $PAGE, request($path, %o)));
}

# A body that must have come whole.
sub body
{
	my ($path, %o) = @_;
	my $a = page($path, %o);

	die "$path: $a->{head}" if $a->{status} != 200 || !$a->{whole};
	return $a->{body};
}

sub json { return JSON::PP->new->utf8->decode(body('/status.json', @_)) }

my $w = Weir->start(conf => conf($PAGE));

# ---- The same numbers everywhere -------------------------------------------

# All paths of a tree, with the values of those that stay.
sub paths
{
	my ($x, $at, $out) = @_;

	if (ref $x eq 'HASH') {
		paths($x->{$_}, "$at.$_", $out) for keys %$x;
	} elsif (ref $x eq 'ARRAY') {
		paths($x->[$_], "$at.$_", $out) for 0 .. $#$x;
	} else {
		$out->{$at} = $at =~ /uptime|age_ms|loop|fds|sockets|check|
		    \.page\./x ? 'moves' : $x;
	}
	return $out;
}

for (1 .. 5) {
	my $c = Weir::dial($WEB);
	Weir::chat($c, 'hello', 5);
	close $c;
}
$w->until('five sessions to end', sub {
	my $t = $w->status->{total};
	return $t->{accepted} == 5 && $t->{sessions} == 0 &&
	    $w->status->{upstreams}{app}{servers}{gone}{health} eq 'down';
});
is_deeply(paths(json(), '', {}), paths($w->status, '', {}),
    '/status.json is what weir -s status prints');

# As strict as promtool: all lines are read, in order, once.
sub samples
{
	my ($text) = @_;
	my (%type, %help, %seen, @bad, $family);
	my $labels = qr/\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"
	    (?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\}/x;

	push @bad, 'no line end' unless $text =~ /\n\z/;
	for (split /\n/, $text) {
		if (/^# HELP (weir_[a-z_]+) \S.*$/) {
			push @bad, "twice: $_" if $help{$1}++;
			$family = $1;
		} elsif (/^# TYPE (weir_[a-z_]+) (counter|gauge)$/) {
			push @bad, "no help: $_" if $1 ne $family;
			push @bad, "twice: $_" if $type{$1};
			$type{$1} = $2;
			push @bad, "name: $_" if
			    ($2 eq 'counter') != ($1 =~ /_total$/);
		} elsif (/^((weir_[a-z_]+)$labels?) (\d+(?:\.\d+)?)$/) {
			push @bad, "no type: $_" unless $type{$2};
			push @bad, "not with its own: $_" if $2 ne $family;
			push @bad, "twice: $_" if exists $seen{$1};
			$seen{$1} = $3;
		} else {
			push @bad, "not understood: $_";
		}
	}
	is(join("\n", @bad[0 .. ($#bad > 5 ? 5 : $#bad)]), '',
	    'every line of /metrics is understood');
	return (\%seen, \%type);
}

my $metrics = page('/metrics');
is($metrics->{header}{'content-type'},
    'text/plain; version=0.0.4; charset=utf-8', 'metrics are of 0.0.4');
my ($sample, $type) = samples($metrics->{body});
my $st = $w->status;
my $server = q({upstream="app",server="a<b>\"\\\\"});
my $a = $st->{upstreams}{app}{servers}{'a<b>"\\'};
my %is = ('weir_sessions_accepted_total' => 5, 'weir_sessions' => 0,
    'weir_listener_accepted_total{listener="web"}' => 5,
    'weir_listener_received_bytes_total{listener="web"}' => 25,
    'weir_session_ends_total{reason="client.relay.eof"}' => 5,
    "weir_server_connects_total$server" => 5,
    "weir_server_sent_bytes_total$server" => 25,
    "weir_server_up$server" => 1,
    'weir_server_up{upstream="app",server="gone"}' => 0,
    'weir_server_enabled{upstream="empty",server="' . $none->addr . '"}' => 0,
    "weir_server_connect_seconds_total$server" =>
    sprintf('%.6f', $a->{connect_us} / 1e6),
    'weir_process_sessions_accepted_total{process="control",slot="2"}' => 0);
is($sample->{$_}, $is{$_}, $_) for sort keys %is;

# For each number of JSON there is a family: by the struct that it is in.
sub families
{
	my ($prefix) = @_;

	return scalar grep { /^weir_${prefix}_/ && !/_(?:info|ends_total)$/ }
	    keys %$type;
}

sub numbers { return scalar grep { !ref && /^\d+$/ } values %{$_[0]} }

# slot, pid and index are labels, up, enabled and ejected are words in JSON.
is(families('process'), numbers($st->{processes}[0]) - 3, 'processes');
is(families('loop'), numbers($st->{processes}[0]{loop}), 'loops');
is(families('listener'), numbers($st->{listeners}{web}), 'listeners');
is(families('upstream'), numbers($st->{upstreams}{app}), 'upstreams');
is(families('server'), numbers($a) + 3, 'servers');
is((grep { $type->{$_} eq 'counter' } keys %$type), (grep { /_total$/ }
    keys %$type), 'counters end in _total');

# ---- The page --------------------------------------------------------------

my $html = page('/');
is($html->{header}{'content-type'}, 'text/html; charset=utf-8', 'a page');
like($html->{body}, qr/^<!DOCTYPE html>.*<\/html>\n\z/s, 'all of it');
unlike($html->{body}, qr/<script|https?:|url\(|\@import/i,
    'without scripts, and nothing comes from elsewhere');
like($html->{body}, qr/<th scope="row">a&lt;b&gt;&quot;\\/,
    'names are not markup');
like($html->{body}, qr/&lt;i&gt;&amp;/, 'and labels are not');
like($html->{body}, qr/>gone .*class="bad">down<td>its checks fail/,
    'who is down, and why');
like($html->{body}, qr/class="wait">drains<td>it was told to drain/,
    'who drains');
for my $part (qw(Processes Listeners Upstreams)) {
	like($html->{body}, qr/<h2>$part</, "there are $part");
}
for my $tag (qw(table thead tbody main header h2 h3 p span div tr)) {
	is(() = $html->{body} =~ /<$tag\b/g, () = $html->{body} =~ /<\/$tag>/g,
	    "every $tag is closed");
}

# ---- What is asked, and how ------------------------------------------------

for my $path ('/', '/metrics', '/status.json', '/nothing') {
	my $a = page($path);
	my $h = page($path, method => 'HEAD');

	is("$h->{status} $h->{body}", "$a->{status} ", "HEAD $path");
	my %safe = ('cache-control' => 'no-store', 'connection' => 'close',
	    'x-content-type-options' => 'nosniff',
	    'x-frame-options' => 'DENY', 'referrer-policy' => 'no-referrer');
	for my $x ($a, $h) {
		is($x->{header}{$_}, $safe{$_}, "$path: $_")
		    for sort keys %safe;
		like($x->{header}{'content-security-policy'},
		    qr/^default-src 'none';(?!.*script)/, "$path: a policy");
	}
}
is(page("/$_")->{status}, 404, "no /$_") for 'x', 'status.json/', '%2f',
    '..', '/', 'x' x 4000, 'metrics%00';
is(page('/metrics?a=b')->{status}, 200, 'a query is not looked at');
my $get = parse(raw($PAGE, "GET /status.json HTTP/1.0\r\n\r\n"));
is($get->{status}, 200, 'HTTP/1.0, without a host');
ok(!$get->{header}{'transfer-encoding'}, 'gets no chunks');
is(eval { JSON::PP->new->decode($get->{body})->{pid} }, $w->{pid},
    'but all of it');
for (qw(POST PUT DELETE OPTIONS CONNECT TRACE PATCH get)) {
	my $a = page('/', method => $_);

	is("$a->{status} $a->{header}{allow}", '405 GET, HEAD', "no $_");
}

my $HOST = "Host: a\r\n";
my @bad = (
	[400, 'without version', "GET /\r\n"],
	[400, 'a bare LF', "GET / HTTP/1.1\n$HOST\n"],
	[400, 'a bare CR', "GET / HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n"],
	[400, 'NUL', "GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n"],
	[400, 'no host', "GET / HTTP/1.1\r\n\r\n"],
	[400, 'two hosts', "GET / HTTP/1.1\r\n$HOST$HOST\r\n"],
	[400, 'a folded line', "GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n"],
	[400, 'no colon', "GET / HTTP/1.1\r\n${HOST}X\r\n\r\n"],
	[400, 'a body', "GET / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello"],
	[501, 'a body in chunks',
	    "GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
	[400, 'two ends of a body', "GET / HTTP/1.1\r\n${HOST}Content-Length: 6" .
	    "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"],
	[400, 'another address', "GET http://a/ HTTP/1.1\r\n$HOST\r\n"],
	[400, 'TLS', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
	[505, 'HTTP/2.0', "GET / HTTP/2.0\r\n$HOST\r\n"],
	[431, 'a long head',
	    "GET / HTTP/1.1\r\n${HOST}" . "X: " . 'y' x 9000 . "\r\n\r\n"],
	[431, 'a long path', 'GET /' . 'y' x 9000 . " HTTP/1.1\r\n$HOST\r\n"],
	[501, 'a long method', 'X' x 9000],
);
for (@bad) {
	my ($status, $what, $bytes) = @$_;
	my $a = parse(raw($PAGE, $bytes));

	is("$a->{status} $a->{body}", "$status $status " .
	    ($a->{head} =~ /^\S+ \d+ (.*?)\r/)[0] . "\n", "$what: $status");
}
is(scalar(() = raw($PAGE, request('/x') x 1000) =~ m{HTTP/1.1 404}g), 1,
    'one answer a connection, however many are asked for');
my $slowly = Weir::dial($PAGE);
Weir::put($slowly, $_) for split //, request('/nothing');
is(parse(Weir::get($slowly, undef))->{status}, 404, 'byte by byte');

SKIP: {
	skip 'no curl here', 2 if system('curl -V >/dev/null 2>&1') != 0;
	my $got = qx(curl -s -m 20 --fail http://$PAGE/status.json);
	is(eval { JSON::PP->new->decode($got)->{pid} }, $w->{pid}, 'curl');
	is(qx(curl -s -m 20 --fail -I http://$PAGE/metrics -o /dev/null) . $?,
	    '0', 'curl -I');
}

# ---- Those who are slow, and those who are many ----------------------------

# One who never comes to an end is answered after five seconds.
my $t = Weir::now();
my $loris = Weir::dial($PAGE);
my $silent = Weir::dial($PAGE);
Weir::put($loris, 'GET / HTTP/1.1');
is(parse(Weir::get($loris, undef))->{status}, 408, 'no end of a head: 408');
cmp_ok(Weir::now() - $t, '>=', 4.9, 'after five seconds');
is(Weir::get($silent, undef), '', 'who says nothing gets nothing');

# More than there is room for, who all do that: others are served.
my @lorises = map {
	my $s = Weir::dial($PAGE);
	Weir::put($s, 'GET / HT');
	$s;
} 1 .. 150;
is(page('/nothing')->{status}, 404, 'behind 150 who say next to nothing');
is(Weir::get($lorises[0], undef), '', 'the first of them had to go');
cmp_ok(json()->{listeners}{page}{active}, '<=', 64, 'there are few at a time');
close $_ for splice @lorises;

my @flood = map {
	my $s = Weir::dial($PAGE);
	Weir::put($s, request('/metrics'));
	$s;
} 1 .. 200;
my $whole = 0;
for (splice @flood) {
	my $a = parse(Weir::get($_, undef));
	$whole++ if $a->{status} == 200 && $a->{whole};
}
is($whole, 200, '200 at once: all get all');
$w->until('all to be gone', sub {
	return $w->status->{listeners}{page}{active} == 0;
});

# ---- A new configuration ---------------------------------------------------

# Is it refused, or not answered at all?
sub is_gone
{
	my ($to) = @_;

	return !Weir::dial($to, try => 1, timeout => 0.2);
}

my $open = Weir::dial($PAGE);
Weir::put($open, 'GET /nothing HTTP/1.1');
is(scalar $w->reload(conf('127.0.0.1:9191')), '0', 'moved');
is(page('/nothing', to => '127.0.0.1:9191')->{status}, 404, 'it is there');
Weir::put($open, "\r\n$HOST\r\n");
is(parse(Weir::get($open, undef))->{status}, 404,
    'who was there before is answered');
ok(is_gone($PAGE), 'and not where it was');
is(scalar $w->reload(conf('')), '0', 'removed');
ok(is_gone('127.0.0.1:9191'), 'it is gone');
is(scalar $w->reload(conf($PAGE)), '0', 'added');
is(page('/nothing')->{status}, 404, 'it is back');
my $dir = $w->{dir};
is(scalar $w->reload(conf("unix:$dir/page.sock")), '0', 'a unix socket');
is(page('/nothing', to => "unix:$dir/page.sock")->{status}, 404, 'serves too');

# Rules of access, and their changes, without a new socket.
sub guarded
{
	my ($access) = @_;
	my $text = conf($PAGE);

	$text =~ s/protocol = "status";/$& access = { $access };/;
	return $text;
}

is(scalar $w->reload(guarded('deny = "127.0.0.1";')), '0', 'access');
is(raw($PAGE, request('/')), '', 'denied: not a word');
is($w->status->{listeners}{page}{denied}, 1, 'and counted');
is(scalar $w->reload(guarded('allow = "127.0.0.0/8";')), '0', 'other rules');
is(page('/nothing')->{status}, 404, 'allowed');
is(scalar $w->reload(guarded('allow = "10.0.0.0/8";')), '0', 'others');
is(raw($PAGE, request('/')), '', 'only others are');
is(scalar $w->reload(conf($PAGE)), '0', 'as before');

# Another name is another listener, on the same socket.
my $renamed = conf($PAGE) =~ s/page = \{/other = {/r;
is(scalar $w->reload($renamed), '0', 'another name');
is(page('/nothing')->{status}, 404, 'serves');
my $names = join ' ', sort keys %{json()->{listeners}};
is($names, 'other web', 'and is shown by that name');
is(scalar $w->reload(conf($PAGE)), '0', 'and back');

# From a proxy to a status page and back, at one address.
my $swapped = conf($PAGE) =~ s/"status"/"tcp"; upstream = "app"/r;
is(scalar $w->reload($swapped), '0', 'now a proxy');
my $c = Weir::dial($PAGE);
is(Weir::chat($c, 'hello', 5), 'hello', 'it is');
close $c;
is(scalar $w->reload(conf($PAGE)), '0', 'now a page again');
is(page('/nothing')->{status}, 404, 'it is');

# ---- Processes that change -------------------------------------------------

my ($control) = $w->pids('control');
$w->signal('KILL', $control);
is(page('/nothing')->{status}, 404,
    'control was killed: who comes then waits, and is served');
isnt(($w->pids('control'))[0], $control, 'by the next one');

# Questions all the time, by one after the other, while binaries change.
my $asker = Weir::Peer->job(sub {
	my ($ctl) = @_;
	my %n = (whole => 0);

	until (Weir::readable($ctl, 0)) {
		my $a = eval { page('/status.json') };
		$n{$a && $a->{status} == 200 && $a->{whole} ? 'whole' :
		    'other'}++;
	}
	return \%n;
});
is(($w->ask('upgrade'))[0], '0', 'an upgrade');
$w->follow(Weir::slurp("$w->{dir}/weir.pid") + 0);
$w->until('the old master to end', sub {
	return !grep { $_ == $w->{pid} } $w->pids('master');
});
is(json()->{binaries}, 2, 'the new binary answers');
$asker->go;
my $n = $asker->result;
cmp_ok($n->{whole}, '>', 0, "questions meanwhile ($n->{whole})");
is($n->{other}, undef, 'and none without an answer');
$w->stop;
done_testing();

#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# One line a session: who, where to, how much, how long, why it ended.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;
use Weir::Peer;

my $echo = Weir::Peer->echo;
my $none = Weir::Peer->refuses;

sub conf
{
	my ($log) = @_;

	return <<"EOT";
$log
upstreams = {
  echo = { servers = ( { name = "e1"; address = "@{[$echo->addr]}"; } ); };
  none = { servers = "@{[$none->addr]}"; };
};
listeners = {
  web = { listen = "fd:3"; upstream = "echo"; };
  quiet = { listen = "fd:4"; upstream = "echo"; access_log = "off"; };
  broken = { listen = "fd:5"; upstream = "none"; };
};
EOT
}

sub start { return Weir->start(conf => conf(@_),
    listen => [map { Weir::listener() } 1 .. 3]) }

sub say
{
	my ($w, $i, $text) = @_;
	my $s = $w->connect($i);
	my $port = $s->sockport;

	Weir::chat($s, $text, length $text);
	shutdown $s, 1;
	Weir::get($s);
	return $port;
}

my $w = start('');
my $port = say($w, 0, 'hello');
my $s = $w->session(1);
is($s->{client}, "127.0.0.1:$port", 'the client');
is($s->{listener}, 'web', 'the listener');
is($s->{upstream}, 'echo', 'the upstream');
is($s->{server}, 'e1', 'the server');
is("$s->{up} $s->{down}", '5 5', 'bytes both ways');
like($s->{connect}, qr/^\d+\.\d{3}$/, 'how long the connect took');
like($s->{total}, qr/^\d+$/, 'how long it lasted');
is($s->{tries}, 1, 'how many servers were tried');
is($s->{end}, 'client.relay.eof', 'why it ended');
like($s->{line}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, 'when');

say($w, 1, 'nobody hears of this');
Weir::get($w->connect(2));
like($w->session(2)->{end}, qr/^server\.connect\.refused$/,
    'a listener with access_log = "off" says nothing');

# Rotation: move it away, ask for a new one.
rename "$w->{dir}/access.log", "$w->{dir}/access.old";
is(($w->ask('reopen'))[0], 0, 'weir -s reopen');
$w->until('a new file', sub { -e "$w->{dir}/access.log" });
say($w, 0, 'after');
is(($w->access(1))[0] =~ /up=5/ ? 1 : 0, 1, 'then lines go to the new file');
$w->stop;

my $dir = Weir::folder();
my $json = start(qq(access_log = { to = "$dir/json.log"; format = "json"; };));
say($json, 0, "quote \" and \\");
$json->until('a line', sub { Weir::slurp("$dir/json.log") =~ /\n/ });
my $line = JSON::PP->new->decode((split /\n/, Weir::slurp("$dir/json.log"))[0]);
is("$line->{listener} $line->{server} $line->{up} $line->{end}",
    'web e1 13 client.relay.eof', 'JSON');
$json->stop;

my $skip = start(qq(access_log = { to = "$dir/skip.log";
    skip = [ "client.relay.eof" ]; };));
say($skip, 0, 'hello');
Weir::get($skip->connect(2));
$skip->until('a line', sub { Weir::slurp("$dir/skip.log") =~ /\n/ });
unlike(Weir::slurp("$dir/skip.log"), qr/relay\.eof/, 'skip');
$skip->stop;
# Which fields, in which order; a listener may have its own.
my $own = start(qq(access_log = { to = "$dir/own.log";
    fields = "end, client_ip server  worker"; };
defaults = { listener = { access_log = { skip = "server.connect.refused"; }; }; };)
    =~ s/\n/ /gr);
say($own, 0, 'hello');
Weir::get($own->connect(2));
say($own, 0, 'hello');
$own->until('two lines', sub { 2 == (() = Weir::slurp("$dir/own.log") =~ /\n/g) });
like(Weir::slurp("$dir/own.log"), qr/\A(?:end=client\.relay\.eof
    \ client_ip=127\.0\.0\.1\ server=e1\ worker=[01]\n){2}\z/x,
    'chosen fields, in that order; a listener skips what it likes');
my $with = sub {
	my ($what) = @_;
	return conf(qq(access_log = { to = "$dir/own.log"; fields = "end"; };)) =~
	    s/(listen = "fd:3";)/$1 access_log = $what;/r;
};
# It concerns sessions that are there already.
my $old = $own->connect(0);
Weir::chat($old, 'x', 1);
is($own->reload($with->('{ format = "json"; fields = [ "port", "up", "end" ]; }')),
    0, 'a listener gets lines of its own');
close $old;
$own->until('a line', sub { Weir::slurp("$dir/own.log") =~ /\}\n/ });
my $own_port = ($own->addr(0) =~ /(\d+)$/)[0];
is((split /\n/, Weir::slurp("$dir/own.log"))[-1],
    qq({"port":$own_port,"up":1,"end":"client.relay.eof"}),
    'and so do sessions that were there before');
my ($st, $said) = $own->reload($with->('{ fields = [ "port", "ends" ]; }'));
is($st, 1, 'a field that is not known is refused');
like($said, qr/weir\.conf:\d+: listeners\.web\.access_log\.fields: there is no field "ends": did you mean "end"\?/,
    'with its place and what it may have been');
$own->stop;
done_testing();

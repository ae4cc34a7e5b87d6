#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# What is right is understood: -T says what each configuration means, and what
# it prints means the same.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Weir;

my $dir = Weir::folder();
my $n = 0;

sub spew { my ($name, $text) = @_; Weir::spew("$dir/$name", $text) }

sub weir
{
	my (@args) = @_;

	return qx('$Weir::PROGRAM' @args 2>'$dir/said');
}

# Values by path, of what -T printed; comments fall away.
sub values_of
{
	my ($text) = @_;
	my (@path, %v, %count);

	for (split /\n/, $text) {
		s/\s*#(?:[^"]*"[^"]*")*[^"]*$//;
		s/^\s+//;
		if (/^(?:(\S+) = )?([{(])$/) {
			my $up = join '.', @path;
			push @path, $1 // $count{$up}++;
		} elsif (/^[})][;,]?$/) {
			pop @path;
		} elsif (/^(\S+) = (.*);$/) {
			$v{join '.', @path, $1} = $2;
		} elsif (/^(".*?"),?$/) {
			my $up = join '.', @path;
			$v{join '.', @path, $count{$up}++} = $1;
		} elsif (length) {
			$v{"? $_"} = 1;
		}
	}
	return \%v;
}

sub no_comments { my ($t) = @_; $t =~ s/[ \t]*#.*$//mg; $t =~ s/\n+/\n/g; return $t }

# Load it, compare what is asked for, and read back what was printed.
sub good
{
	my ($name, $text, %want) = @_;
	my $file = 't' . ++$n . '.conf';

	spew($file, $text);
	my $dump = weir('-T', '-c', "$dir/$file");
	is($?, 0, "$name: loads") or diag(Weir::slurp("$dir/said"));
	my $v = values_of($dump);
	for (sort keys %want) {
		is($v->{$_}, $want{$_}, "$name: $_");
	}
	is(join(' ', grep { /^\?/ } keys %$v), '', "$name: all is readable");
	mkdir "$dir/elsewhere";
	spew("elsewhere/$file", $dump);
	my $again = weir('-T', '-c', "$dir/elsewhere/$file");
	is($?, 0, "$name: loads again") or diag(Weir::slurp("$dir/said"));
	is_deeply([split /\n/, no_comments($again)],
	    [split /\n/, no_comments($dump)], "$name: means the same");
	return ($dump, $v);
}

my $APP = 'upstreams = { app = { servers = "10.0.0.5:80"; }; };';
my ($dump);

good('nothing', 'listeners = { };', workers => '"auto"', 'timeouts.idle' => '"10m"',
    'events.backend' => '"auto"', 'error_log.level' => '"info"',
    'access_log.to' => '"stdout"', reload_timeout => '"15s"');

good('wildcards that match nothing', 'include = "none/*.conf";');
good('the same in its place', '@include "none/*.conf"');

($dump) = good('a common one', <<'EOT',
# The ten lines of the manual.
upstreams = {
  pg = { servers = ( "10.0.0.5:5432", { address = "10.0.0.6:5432"; backup = true; } ); };
};
listeners = {
  postgres = { listen = "*:5432"; upstream = "pg"; timeouts = { idle = "8h"; }; };
};
EOT
    'upstreams.pg.servers.0' => '"10.0.0.5:5432"',
    'upstreams.pg.servers.1.address' => '"10.0.0.6:5432"',
    'upstreams.pg.servers.1.backup' => 'true',
    'upstreams.pg.servers.1.weight' => '1',
    'upstreams.pg.balance' => '"round_robin"',
    'listeners.postgres.upstream' => '"pg"',
    'listeners.postgres.timeouts.idle' => '"8h"',
    'listeners.postgres.backlog' => 4096);
like($dump, qr/^    timeouts = \{\n(?:.*\n)*?      idle = "8h"; +# \S+:6, new$/m,
    'a value says where it comes from, and when it takes effect');
like($dump, qr/^workers = "auto"; +# default, live$/m, 'so does a default');
like($dump, qr/^      # idle = "10m"; +# default, new$/m,
    'what the other side says is not said here');

good('levels', <<"EOT",
timeouts = { idle = "1m"; linger = "3s"; connect = "4s"; drain = "1h"; };
defaults = {
  listener = { backlog = 77; timeouts = { idle = "2m"; }; access_log = "off"; };
  upstream = { servers_max = 5; timeouts = { connect = "5s"; queue = "6s"; }; };
};
upstreams = {
  app = { servers = "10.0.0.5:80"; timeouts = { queue = "7s"; }; };
  api = { servers = "10.0.0.6:80"; servers_max = 6; };
};
listeners = {
  a = { listen = "*:80"; upstream = "app"; timeouts = { lifetime = "1d"; }; };
  b = { listen = "*:81"; upstream = "app"; timeouts = { idle = "off"; }; backlog = 88; access_log = true; };
};
EOT
    'timeouts.idle' => '"1m"', 'timeouts.drain' => '"1h"',
    'upstreams.app.timeouts.connect' => '"5s"',
    'upstreams.app.timeouts.queue' => '"7s"',
    'upstreams.api.timeouts.queue' => '"6s"',
    'upstreams.app.servers_max' => 5, 'upstreams.api.servers_max' => 6,
    'listeners.a.backlog' => 77, 'listeners.b.backlog' => 88,
    'listeners.a.timeouts.idle' => '"2m"',
    'listeners.b.timeouts.idle' => '"off"',
    'listeners.a.timeouts.linger' => '"3s"',
    'listeners.a.timeouts.lifetime' => '"1d"',
    'listeners.a.access_log' => '"off"',
    'listeners.b.access_log' => 'true');

# Separators, comments, number forms: libconfig's language.
good('the language', <<'EOT',
workers : 0x2, // two
# a comment
/* another
   one */ reload_timeout = "20s"
watchdog = { warn = "1s", limit = "10s"; }
upstreams : { app : { servers = ( ), label = "a \"b\" \\ \x41 \t caf\xc3\xa9 $5"; }; };
EOT
    workers => 2, reload_timeout => '"20s"', 'watchdog.warn' => '"1s"',
    'upstreams.app.label' => '"a \"b\" \\\\ A \t caf' . "\xc3\xa9" . ' $5"');

good('strings for numbers and booleans', <<'EOT',
workers = "3";
events = { connections = "100"; backend = "epoll"; };
upstreams = { app = { servers = ( { address = "10.0.0.5:80"; weight = "5"; backup = "off"; max_conns = "off"; },
  { address = "10.0.0.6:80"; backup = "on"; max_conns = 7; state = "drain"; } ); }; };
EOT
    workers => '"3"', 'events.connections' => '"100"',
    'upstreams.app.servers.0.weight' => '"5"',
    'upstreams.app.servers.1.state' => '"drain"');

good('a group by its principal key', <<'EOT',
events = "poll";
error_log = "syslog";
access_log = "off";
EOT
    'events.backend' => '"poll"', 'events.buffers' => '"16m"',
    'error_log.to' => '"syslog"', 'error_log.level' => '"info"',
    'access_log.to' => '"off"');

good('lines of the access log', <<'EOT',
access_log = { format = "json"; fields = [ "time", "end" ]; skip = ( "weir.relay.idle" ); };
defaults = { listener = { access_log = { fields = "end, up"; }; }; };
upstreams = { app = { servers = "10.0.0.5:80"; }; };
listeners = {
  a = { listen = "*:80"; upstream = "app"; access_log = { format = "text"; }; };
  b = { listen = "*:81"; upstream = "app"; access_log = "off"; };
  c = { listen = "*:82"; upstream = "app"; access_log = "on"; };
};
EOT
    'access_log.fields' => '[ "time", "end" ]',
    'access_log.skip' => '( "weir.relay.idle" )',
    'listeners.a.access_log.fields' => '"end, up"',
    'listeners.a.access_log.format' => '"text"',
    'listeners.b.access_log' => '"off"',
    'listeners.c.access_log.fields' => '"end, up"');

# What would do nothing is refused where it is written, so not printed.
good('listeners without sessions', <<'EOT',
defaults = { listener = { timeouts = { idle = "1m"; }; limit = { conns = 5; };
  mode = "0600"; split_on = "client"; }; };
upstreams = { app = { servers = "10.0.0.5:80"; }; b = { servers = "10.0.0.5:81"; }; };
listeners = {
  status = { listen = "*:80"; protocol = "status"; access = { allow = "10.0.0.0/8"; }; };
  beats = { listen = "*:81"; protocol = "heartbeat"; };
  web = { listen = "*:82"; upstream = { app = 1; b = 1; }; };
  file = { listen = [ "*:83", "unix:/run/x" ]; upstream = "app"; };
};
EOT
    'listeners.status.timeouts.idle' => undef,
    'listeners.status.access.allow' => '"10.0.0.0/8"',
    'listeners.beats.limit.conns' => undef,
    'listeners.web.mode' => undef,
    'listeners.web.split_on' => '"client"',
    'listeners.web.limit.conns' => '5',
    'listeners.file.mode' => '"0600"',
    'listeners.file.split_on' => undef);

spew('beat.key', "hush\n");
spew('port', "8443\r\n");
$ENV{WEIR_T_HOST} = '10.0.0.9';
$ENV{WEIR_T_EMPTY} = '';
delete $ENV{WEIR_T_NONE};
(undef, my $v) = good('substitution', <<'EOT',
upstreams = { app = {
  servers = [ "${WEIR_T_HOST}:${WEIR_T_NONE:-80}", "10.0.0.8:${file:port}", "10.0.0.7:80${WEIR_T_EMPTY}" ];
  label = "$${WEIR_T_HOST} $WEIR_T_HOST ${WEIR_T_EMPTY:-empty}";
}; };
EOT
    'upstreams.app.servers.0' => '"10.0.0.9:80"',
    'upstreams.app.servers.1' => qq("10.0.0.8:\${file:$dir/port}"),
    'upstreams.app.servers.2' => '"10.0.0.7:80"',
    'upstreams.app.label' => '"$${WEIR_T_HOST} $WEIR_T_HOST empty"');
unlike(join(' ', values %$v), qr/8443/, 'what a file says is not printed');

good('addresses', <<"EOT",
$APP
listeners = {
  a = { listen = [ "*:80", "[::]:80", "127.0.0.1:81", "[::1]:81", ":82", ":7000-7002", "10.0.0.1:90-91" ]; upstream = "app"; };
  b = { listen = "unix:b.sock"; mode = "0600"; owner = "0"; group = 0; upstream = "app"; };
  c = { listen = "fd:3"; upstream = "app"; };
  d = { listen = "fd:web"; upstream = "app"; };
};
EOT
    'listeners.b.listen' => qq("unix:$dir/b.sock"),
    'listeners.b.mode' => '"0600"', 'listeners.d.listen' => '"fd:web"');

good('servers', <<'EOT',
upstreams = { app = { servers = (
  "10.0.0.5:80", "[2001:db8::1]:80", "db.example.net:5432", "localhost", "10.0.0.6",
  "srv:_ldap._tcp.example.net", "unix:app.sock",
  { name = "g2"; address = "10.0.0.6:8080"; weight = 0; max_conns = 500; state = "down"; } ); }; };
EOT
    'upstreams.app.servers.6' => qq("unix:$dir/app.sock"),
    'upstreams.app.servers.7.name' => '"g2"');

spew('list', "# servers\n10.0.0.5:80\n\n  10.0.0.6:80  \n");
good('a list from a file', <<'EOT',
upstreams = { app = { servers = [ "10.0.0.7:80", "file:list" ]; }; };
EOT
    'upstreams.app.servers.1' => qq("file:$dir/list"));

good('routes', <<"EOT",
$APP
listeners = { a = { listen = ":80-81"; upstream = "app"; routes = (
  { client = [ "10.0.0.0/8", "192.0.2.1", "2001:db8::/32" ]; upstream = "app"; timeouts = { idle = "1h"; }; },
  { client = "192.0.2.0/24"; port = [ 80, 443 ]; return = 403; },
  { port = "81"; access_log = "off"; routes = ( { client = "198.51.100.0/24"; upstream = "app"; }, { return = { status = 302; location = "https://example.net/"; }; } ); } ); }; };
EOT
    'listeners.a.routes.0.client' =>
    '[ "10.0.0.0/8", "192.0.2.1", "2001:db8::/32" ]',
    'listeners.a.routes.0.timeouts.idle' => '"1h"',
    'listeners.a.routes.1.return' => 403,
    'listeners.a.routes.2.routes.1.return.status' => 302);

mkdir "$dir/html";
spew('html/x.html', '<p>x</p>');
good('answers', <<'EOT',
listeners = {
  a = { listen = "*:80"; return = { file = "html/x.html"; }; };
  b = { listen = "*:81"; return = 204; };
  c = { listen = "*:82"; return = { body = "go away\n"; }; };
  d = { listen = "*:83"; return = { status = "503"; body = ""; type = "text/html"; }; };
};
EOT
    'listeners.a.return.file' => qq("$dir/html/x.html"),
    'listeners.c.return.body' => '"go away\n"');

good('a list of listeners', <<"EOT",
$APP
listeners = ( { listen = "*:80"; upstream = "app"; }, { listen = "*:81"; return = 200; } );
EOT
    'listeners.0.listen' => '"*:80"', 'listeners.1.return' => 200);

mkdir "$dir/conf.d";
mkdir "$dir/conf.d/more";
spew('conf.d/b.conf', <<'EOT');
upstreams = { b = { servers = "unix:b.sock"; }; };
listeners = { front = { routes = ( { client = "10.2.0.0/16"; upstream = "b"; } ); }; };
EOT
spew('conf.d/a.conf', <<'EOT');
include = "more/c.conf";
upstreams = { a = { @include "a.inc"
 }; };
listeners = { front = { routes = ( { client = "10.1.0.0/16"; upstream = "a"; } ); }; };
EOT
spew('conf.d/a.inc', 'servers = "10.0.0.1:80"; label = "from a.inc";');
spew('conf.d/more/c.conf', 'upstreams = { c = { servers = "10.0.0.3:80"; }; };');
spew('conf.d/not-this', 'upstreams = {{{');
good('includes', <<'EOT',
include = [ "conf.d/*.conf", "none-of-*.these" ];
listeners = { front = { listen = "*:80"; upstream = "c"; } };
EOT
    'upstreams.a.label' => '"from a.inc"',
    'upstreams.b.servers' => undef,
    'upstreams.b.servers.0' => qq("unix:$dir/conf.d/b.sock"),
    'upstreams.c.servers.0' => '"10.0.0.3:80"',
    'listeners.front.routes.0.upstream' => '"a"',
    'listeners.front.routes.1.upstream' => '"b"');

spew('outer.conf', qq(\@include "conf.d/*.inc"\n));
spew('conf.d/w.inc', 'workers = 4;');
spew('conf.d/a.inc', 'pid = "here.pid";');
good('@include with a pattern', qq(\@include "outer.conf"\nreload_timeout = "9s";\n),
    workers => 4, pid => qq("$dir/conf.d/here.pid"), reload_timeout => '"9s"');

# Numbers that would be quadratic: names in one group, servers in another.
good('many names', join("\n", 'upstreams = {',
    (map { "  name$_ = { servers = \"10.0.0.5:80\"; };" } 1 .. 300), '};'),
    'upstreams.name300.servers.0' => '"10.0.0.5:80"',
    'upstreams.name65.servers.0' => '"10.0.0.5:80"');

# -t makes nothing, and says that all is well.
spew('side.conf', <<"EOT");
pid = "made.pid";
error_log = "made.log";
access_log = "made-too.log";
listeners = { a = { listen = [ "unix:made.sock", "127.0.0.1:1" ]; return = 200; }; };
EOT
is(weir('-t', '-c', "$dir/side.conf"), "$dir/side.conf: ok\n", '-t says ok');
is($?, 0, 'and ends well');
is(join(' ', glob "$dir/made*"), '', 'nothing was made');
is(weir('-t', '-q', '-c', "$dir/side.conf"), '', '-q says nothing');
done_testing();

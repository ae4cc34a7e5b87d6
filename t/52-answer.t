#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# `return` answers with a page, without any server.
use strict;
use warnings;
use lib 't/lib';
use Cwd qw(abs_path);
use Test::More;
use Weir;
use Weir::Peer;

my $html = abs_path('html');
my $page = Weir::slurp("$html/index.html");
my @in = map { Weir::listener() } 1 .. 3;
my $w = Weir->start(listen => \@in, conf => <<"EOT");
listeners = {
  page = { listen = "fd:3"; return = { file = "$html/index.html"; }; };
  text = { listen = "fd:4"; return = { status = 403; body = "go away\\n";
    type = "text/plain"; }; };
  bare = { listen = "fd:5"; return = 503; };
};
EOT

SKIP: {
	skip 'no curl here', 2 if system('curl -V >/dev/null 2>&1') != 0;
	my $url = 'http://' . $w->addr(0) . '/';
	is(`curl -sS -m 20 $url`, $page, 'curl gets html/index.html');
	is(`curl -sS -m 20 -o /dev/null -w '%{http_code} %{content_type}' $url`,
	    '200 text/html; charset=utf-8', 'its status and type');
}

sub request
{
	my ($i) = @_;
	my $s = $w->connect($i);

	return Weir::chat($s, "GET / HTTP/1.1\r\nHost: here\r\n\r\n");
}

my ($head, $body) = split /\r\n\r\n/, request(0), 2;
like($head, qr{^HTTP/1\.0 200 }, 'HTTP/1.0');
like($head, qr/^Content-Length: @{[length $page]}\r?$/mi, 'the length');
like($head, qr/^Connection: close\r?$/mi, 'it says that it closes');
is($body, $page, 'the page');
like(request(1), qr{^HTTP/1\.0 403 .*text/plain.*\r\n\r\ngo away\n$}s,
    'a status, a type and a body');
like(request(2), qr{^HTTP/1\.0 503 }, 'a status alone');

# A browser may send much more than is looked at; it must still get the
# page, and no reset.
my $s = $w->connect(0);
Weir::put($s, 'GET / HTTP/1.1' . "\r\nX: " . 'x' x 20000 . "\r\n\r\n");
like(Weir::get($s), qr/\Q$body\E$/, 'a long request gets the page');
ok(!$!{ECONNRESET}, 'and no reset');

my $n = 50;
my @c = map { $w->connect(0) } 1 .. $n;
Weir::put($_, "GET / HTTP/1.0\r\n\r\n") for @c;
is(scalar(grep { Weir::get($_) =~ /\Q$body\E$/ } @c), $n, "$n at a time");
close $_ for $s, @c;
like(($w->access(1))[0], qr/weir\.route\.answer/, 'the log says who answered');

# The page is read by the master at start, so a worker needs no file.
$w->stop;
done_testing();

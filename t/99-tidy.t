#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# The house rules, as a test: a rule that nothing checks is only a wish.
# How long things may be is in 99-size.t.
use strict;
use warnings;
use Test::More;

my @FLOORS = qw(base wire io conf proxy proc);    # low to high
my %BESIDE = (wire => 'io', io => 'wire');        # same floor: strangers
my %FLOOR;
@FLOOR{@FLOORS} = 0 .. $#FLOORS;

# A library has one home, so that replacing it is rewriting one place.
my @HOMES = (
	[qr{^libconfig\.h$}, qr{^src/conf/read\.c$}],
	[qr{^liburing(?:\.h|/)}, qr{^src/io/ring\.h$}],
	[qr{^openssl/}, qr{^modules/(?:tls|hmac\.[ch]$)}],
	[qr{^pcre2\.h$}, qr{^(?:src/proxy|modules)/\w+\.c$}],
	[qr{^ares\w*\.h$}, qr{^modules/dns\.c$}],
	[qr{^sys/epoll\.h$}, qr{^src/io/epoll\.c$}],
	[qr{^sys/event\.h$}, qr{^src/io/kqueue\.c$}],
	[qr{^sys/select\.h$}, qr{^src/io/select\.c$}],
	[qr{^syslog\.h$}, qr{^src/base/log\.c$}],
);
my $BANNED = qr/\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|alloca
	|sleep|usleep|assert\(0\)|typedef\s+struct|NDEBUG)\b/x;
my $OPEN = qr/\b(TODO|FIXME|XXX|HACK)\b(?!\s*\(?(?:issue\s*)?#?\d)/;
my ($COLUMNS, $LEVELS) = (80, 4);

my (@bad, %pcre);

sub bad { push @bad, "$_[0]: $_[1]" }

sub slurp
{
	my ($path) = @_;

	open my $in, '<:encoding(UTF-8)', $path or die "$path: $!";
	local $/;
	my $text = <$in>;
	return $text // '';
}

sub blank { my ($s) = @_; $s =~ s/[^\n]/ /g; return $s }

# Code only: what comments and literals say is no code, but keeps its place.
sub code
{
	my ($text) = @_;

	$text =~ s{(/\*.*?\*/)|"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'}
	    {defined $1 ? blank($1) : defined $2 ? '"' . blank($2) . '"'
	    : "'" . blank($3) . "'"}gse;
	return $text;
}

sub width { my ($s) = @_; 1 while $s =~ s/\t/' ' x (8 - $-[0] % 8)/e; length $s }

# What a place may include.
sub include
{
	my ($path, $n, $dep) = @_;
	my ($dir) = $path =~ m{^src/(\w+)/};

	if ($path =~ m{^modules/}) {
		bad($n, 'a module never sees proc/') if $dep eq 'proc';
	} elsif (defined $dir && exists $FLOOR{$dep}) {
		bad($n, "$dir/ may not look up at $dep/")
		    if $FLOOR{$dep} > $FLOOR{$dir};
		bad($n, "$dir/ and $dep/ are strangers")
		    if ($BESIDE{$dir} // '') eq $dep;
		bad($n, 'the master never touches traffic')
		    if $path =~ m{/proc/(?:master|reload|listen)\.}
		    && $dep =~ /^(?:wire|proxy)$/;
	} elsif (defined $dir) {
		bad($n, "$dir/ does not know $dep/")
		    unless exists $FLOOR{$dep};
	}
}

sub library
{
	my ($path, $n, $header) = @_;

	for (@HOMES) {
		my ($library, $home) = @$_;
		next unless $header =~ $library;
		bad($n, "$header has another home") unless $path =~ $home;
		$pcre{$path} = 1 if $header eq 'pcre2.h';
	}
}

# Statements stand at most four levels deep.  A line that continues another
# may be further right.
sub deep
{
	my ($code) = @_;
	my $before = ';';
	my $n = 0;

	for (split /\n/, $code) {
		$n++;
		s/\s*\\?\s*$//;
		next if /^\s*(?:#|$)/;
		my ($tabs) = /^(\t*)/;
		bad($n, 'too deep') if length $tabs > $LEVELS
		    && $before =~ /(?:[{};):]|\b(?:else|do))$/;
		$before = $_;
	}
}

sub names
{
	my ($path, $code) = @_;
	my ($n, $before) = (0, '');

	for (split /\n/, $code) {
		$n++;
		my ($name) = /^(\w+)\(/;
		if (defined $name && $before =~ /^[a-z]/) {
			my $static = $before =~ /\bstatic\b/;
			my $prefix = $name =~ /^wr_/;
			bad($n, "static $name() has a prefix")
			    if $static && $prefix;
			bad($n, "public $name() has no prefix")
			    if !$static && !$prefix && $name ne 'main';
		}
		my ($type) = /^typedef\b.*?\b(\w+)\(/;
		bad($n, 'a type of functions ends in _fn')
		    if defined $type && $type !~ /_fn$/;
		$before = $_;
	}
}

sub check_c
{
	my ($path, $ours) = @_;
	my $text = slurp($path);
	my $code = code($text);
	my ($n, @includes) = (0);

	bad(1, 'no SPDX line') unless $text =~
	    m{\A/\* SPDX-License-Identifier: BSD-2-Clause \*/\n};
	bad('end', 'no newline') unless $text =~ /\n\z/;
	for (split /\n/, $text) {
		$n++;
		bad($n, 'trailing space') if /\s$/;
		bad($n, "longer than $COLUMNS columns")
		    if width($_) > $COLUMNS;
		bad($n, "$1 without the number of an issue") if $_ =~ $OPEN;
		next unless /^#\s*include\s+["<]([^">]+)[">]/;
		my $header = $1;
		push @includes, $header;
		next unless $ours;
		my ($dep) = $header =~ m{^(\w+)/};
		include($path, $n, $dep) if defined $dep && /"/;
		library($path, $n, $header);
	}
	$n = 0;
	for (split /\n/, $code) {
		$n++;
		bad($n, "banned: $1") if $_ =~ $BANNED;
		bad($n, 'a comment of C++') if m{//};
	}
	deep($code);
	return unless $ours;
	names($path, $code) if $path =~ /\.c$/;
	(my $own = $path) =~ s{^src/(.*)\.c$}{$1.h};
	bad(1, "$own is not included first")
	    if $own ne $path && -e "src/$own" && ($includes[0] // '') ne $own;
	return unless $path =~ /\.h$/;
	my ($noun) = $path =~ m{(\w+)\.h$};
	bad(1, "does not open with \"$noun - what it is\"")
	    unless $text =~ /\A.*\n\/\*\n \* \Q$noun\E - \w/;
	bad(1, 'no guard') unless $code =~ /^#ifndef WR_\w+_H$/m;
}

sub check_perl
{
	my ($path) = @_;
	my $text = slurp($path);
	my $n = 0;

	bad(1, 'no SPDX line') unless $text =~
	    /\A(?:#!.*\n)?# SPDX-License-Identifier: BSD-2-Clause\n/;
	for (qw(strict warnings)) {
		bad(1, "no $_") unless $text =~ /^use $_;/m;
	}
	for (split /\n/, $text) {
		$n++;
		bad($n, 'trailing space') if /\s$/;
		bad($n, 'a test waits for events, not for a clock')
		    if /^[^#'"]*\b(?:sleep\b(?!\s*=>)|select\s*\(?\s*undef\s*,
			\s*undef\s*,\s*undef)/x;
	}
}

for my $path (glob '{src,modules,t,contrib}/*.[ch]
    {src,modules,t,contrib}/*/*.[ch] modules/*/*/*.[ch]') {
	@bad = ();
	check_c($path, $path =~ m{^(?:src|modules)/});
	is(join("\n", @bad), '', $path);
}
for my $path (glob 't/*.t t/*.pl t/lib/*.pm t/lib/*/*.pm') {
	next if $path eq 't/99-tidy.t';    # it has to spell what it forbids
	@bad = ();
	check_perl($path);
	is(join("\n", @bad), '', $path);
}
cmp_ok(scalar keys %pcre, '<=', 1, 'PCRE2 has one home') or
    diag(join ' ', sort keys %pcre);

# The floors as make sees them: what is built is what is there.
my $make = slurp('Makefile.am');
for my $path (glob '{src,modules}/*.c {src,modules}/*/*.c') {
	ok($make =~ /^\w+_SOURCES \+?= .*\Q$path\E\b/m, "$path is built");
}
for my $path (glob 't/unit/*.c') {
	(my $program = $path) =~ s/\.c$//;
	next if $make =~ /_SOURCES \+?= (?:.*\\\n)*.*\Q$path\E\b/;
	ok($make =~ /^check_PROGRAMS \+?= .*\Q$program\E\b/m,
	    "$program is run");
}
done_testing();

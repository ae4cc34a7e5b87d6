# SPDX-License-Identifier: BSD-2-Clause
#
# Weir - start the program, wait for what it does, stop it, look at what is
# left.
#
#	my $in = Weir::listener();           # bound and listening, port 0
#	my $w = Weir->start(listen => [$in], conf => <<"EOT");
#	upstreams = { app = { servers = "127.0.0.1:$port"; }; };
#	listeners = { web = { listen = "fd:3"; upstream = "app"; }; };
#	EOT
#	my $c = $w->connect;
#	...
#	$w->stop;                            # one check: it ended clean
#
# Listeners are passed on as descriptors 3, 4, ... in the order given.  What
# every test needs (pid file, logs, user, two workers) is added to a
# configuration that does not say it.  Nothing here sleeps: what a
# descriptor announces is waited for by select, a line of a log or the state
# of a process is looked at every few milliseconds until it is there.
#
# The program is $WEIR.  WEIR_EVENTS and WEIR_CHOP go through to it.
# WEIR_SLOW asks for the long form of a test, WEIR_PATIENCE is the number of
# seconds after which a wait has failed, WEIR_KEEP keeps the folders.
# WEIR_VALGRIND runs the program and its children under memcheck; waits are
# longer then, and what memcheck says fails the test.  WEIR_EMULATED has the
# same patience, without memcheck.
package Weir;

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use File::Temp ();
use IO::Select ();
use IO::Socket::IP ();
use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX ();
use Socket qw(AI_NUMERICHOST SOCK_DGRAM SOL_SOCKET SO_LINGER SO_RCVBUF
    SOMAXCONN);
use Test::More ();
use Time::HiRes ();
use Time::Local ();

our $PROGRAM = $ENV{WEIR} // './weir';
our $EMULATED = $ENV{WEIR_EMULATED} // 0;
our $VALGRIND = $ENV{WEIR_VALGRIND} // $EMULATED;
our $PATIENCE = $ENV{WEIR_PATIENCE} // ($VALGRIND ? 120 : 30);
our $SLOW = $ENV{WEIR_SLOW} // 0;
our $CHOP = $ENV{WEIR_CHOP} // 0;
our $EVENTS = $ENV{WEIR_EVENTS} // '';
our $ALARM = $ENV{WEIR_ALARM} // ($SLOW || $VALGRIND ? 600 : 120);

my $SUPPRESSIONS = abs_path(__FILE__ =~ s/Weir\.pm$/valgrind.supp/r);
my @RUNNING;
my $OWNER = $$;

$PROGRAM = abs_path($PROGRAM) // $PROGRAM;
$SIG{PIPE} = 'IGNORE';
# Dying runs END, which ends what was started.
$SIG{ALRM} = sub { die "the test got no further before its alarm\n" };
$SIG{$_} = sub { die "the test was told to end\n" } for qw(TERM INT HUP);
going_on();
Test::More::plan(skip_all => "no program at $PROGRAM")
    unless -x $PROGRAM || $ENV{WEIR};

# The alarm is for a test that hangs, not for hundreds of reloads on a busy
# machine: it begins anew when weir has started, or a command has ended.
sub going_on { alarm $ALARM }

# What only a program at its full speed can show.
sub not_under_valgrind
{
	my ($why) = @_;

	Test::More::plan(skip_all => "under valgrind: $why") if $VALGRIND;
}

# Memcheck for the program and what it starts, with a log file each.  A child
# that is only forked is looked at in any case, one that runs another program
# (an upgrade) if it is asked for.
sub memcheck
{
	my ($dir) = @_;

	return if $EMULATED;
	return ('valgrind', '-q', '--trace-children=yes',
	    '--trace-children-skip=/bin/*,/usr/bin/*', '--vgdb=no',
	    '--leak-check=full', '--show-leak-kinds=definite',
	    '--errors-for-leak-kinds=definite', '--error-exitcode=99',
	    '--num-callers=24', "--suppressions=$SUPPRESSIONS",
	    "--log-file=$dir/valgrind.%p");
}

# What it had to say, but for calls that it does not know and large mappings.
sub reports
{
	my ($dir) = @_;
	my @said;

	for my $file (glob "$dir/valgrind.*") {
		push @said, grep { /^==\d+== ./ && !/Warning:\ set\ address
			|Warning:\ noted|This\ could\ cause|See\ README_/x }
		    split /\n/, slurp($file);
	}
	return @said;
}

sub now { Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) }

# ---- Sockets of the test -------------------------------------------------

# A listening socket on a port of the kernel's choice, or as asked.
sub listener
{
	my (%o) = @_;

	return IO::Socket::IP->new(LocalHost => $o{host} // '127.0.0.1',
	    LocalPort => $o{port} // 0, Listen => $o{backlog} // SOMAXCONN,
	    GetAddrInfoFlags => AI_NUMERICHOST, ReuseAddr => 1) // croak "listen: $@";
}

# A connection to "host:port", "[host]:port" or "unix:path".  Dies, unless
# `try` says that undef (and $!) will do.
sub dial
{
	my ($to, %o) = @_;
	my $s;

	if ($to =~ /^unix:(.*)/) {
		$s = IO::Socket::UNIX->new(Peer => $1);
	} else {
		my ($host, $port) = $to =~ /^\[?(.*?)\]?:(\d+)$/ or
		    croak "no address: $to";
		my @opts = map { [SOL_SOCKET, SO_RCVBUF, pack 'i', $_] }
		    $o{rcvbuf} // ();
		$s = IO::Socket::IP->new(PeerHost => $host,
		    PeerPort => $port, Timeout => $o{timeout} // $PATIENCE,
		    GetAddrInfoFlags => AI_NUMERICHOST, Sockopts => \@opts);
	}
	croak "connect to $to: $!" unless $s || $o{try};
	return $s;
}

# Is there something to read (or the end) within the time a test waits?
sub readable
{
	my ($s, $seconds) = @_;

	return IO::Select->new($s)->can_read($seconds // $PATIENCE) ? 1 : 0;
}

# Read until `want` is there: a pattern, a number of bytes, or undef for the
# end.  What was read; at a reset, with $! set to ECONNRESET.
sub get
{
	my ($s, $want) = @_;
	my $end = now() + $PATIENCE;
	my $got = '';

	$! = 0;
	for (;;) {
		my $max = 65536;
		if (ref $want) {
			return $got if $got =~ $want;
		} elsif (defined $want) {
			$max = $want - length $got;
			return $got if $max <= 0;
		}
		my $left = $end - now();
		croak 'nothing came, after "' . substr($got, -200) . '"'
		    if $left <= 0 || !readable($s, $left);
		my $n = sysread $s, $got, $max, length $got;
		return $got if !$n;
	}
}

# Write all of it; false if the other end does not want it.
sub put
{
	my ($s, $bytes) = @_;
	my $at = 0;

	while ($at < length $bytes) {
		my $n = syswrite $s, $bytes, length($bytes) - $at, $at;
		if (!defined $n) {
			return 0 unless $!{EAGAIN} || $!{EINTR};
			croak 'nobody reads' unless
			    IO::Select->new($s)->can_write($PATIENCE);
			next;
		}
		$at += $n;
	}
	return 1;
}

# Say something and give back what comes.
sub chat
{
	my ($s, $say, $want) = @_;

	put($s, $say);
	return get($s, $want);
}

# Close so that the other end gets a reset.
sub reset
{
	my ($s) = @_;

	setsockopt $s, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
	close $s;
}

# ---- Start ---------------------------------------------------------------

sub slurp
{
	my ($path) = @_;

	open my $in, '<', $path or return '';
	local $/;
	return scalar(<$in>) // '';
}

sub spew
{
	my ($path, $text) = @_;

	open my $out, '>', $path or croak "$path: $!";
	print {$out} $text;
	close $out or croak "$path: $!";
}

# A folder that goes away with the test; others may look in.
sub folder
{
	my $dir = File::Temp->newdir('weir-XXXXXX', TMPDIR => 1,
	    CLEANUP => !$ENV{WEIR_KEEP});

	chmod 0755, $dir;
	return $dir;
}

# The broken configurations in a folder of their own, with what no archive can
# hold.  Their paths.
sub broken
{
	my ($dir) = @_;

	system('cp', '-R', 't/broken/.', "$dir") == 0 or croak 'cannot copy';
	unlink "$dir/fifo", "$dir/link-to-itself";
	POSIX::mkfifo("$dir/fifo", 0600) or croak "fifo: $!";
	symlink 'link-to-itself', "$dir/link-to-itself";
	# A folder in which a few wildcards lead to millions of files.
	mkdir "$dir/deep" or croak "deep: $!";
	symlink '.', "$dir/deep/$_" for 1 .. 30;
	spew("$dir/large.inc", '#' x (17 << 20));
	return glob "$dir/*.conf";
}

# Run the program to its end: exit status, standard output, standard error.
sub run
{
	my @args = @_;
	my $dir = folder();
	my $pid = fork // croak "fork: $!";

	# Those who ask are in a hurry.
	my @by = $VALGRIND && $args[0] ne '-s' ? memcheck($dir) : ();
	if ($pid == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$dir/out";
		open STDERR, '>', "$dir/err";
		exec @by, $PROGRAM, @args or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	going_on();
	my @said = reports($dir);
	Test::More::fail(join "\n", "weir @args, memcheck:", @said) if @said;
	return ($? & 127 ? "signal " . ($? & 127) : $? >> 8,
	    slurp("$dir/out"), slurp("$dir/err"));
}

# What the test did not say itself.
sub complete
{
	my ($self, $text) = @_;
	my %add = (
		pid => qq("$self->{dir}/weir.pid"),
		error_log => qq({ to = "$self->{dir}/error.log"; ) .
		    qq(level = "$self->{level}"; }),
		access_log => qq("$self->{dir}/access.log"),
		workers => $self->{workers},
	);

	$add{user} = '"nobody"' if $> == 0;
	# To begin, and to look for leaks at the end, takes seconds.
	if ($VALGRIND) {
		$add{watchdog} = '{ limit = "60s"; }'
		    unless $text =~ /\bwatchdog\b/;
		$text =~ s/\b((?:reload_timeout|limit)\s=\s")(\d+)s"/
		    $1 . 20 * $2 . 's"'/gex;
	}
	for my $key (sort keys %add) {
		$text .= "$key = $add{$key};\n" unless $text =~ /^$key\s*=/m;
	}
	return $text;
}

# Write another configuration (or the first).
sub conf
{
	my ($self, $text) = @_;

	spew("$self->{dir}/new.conf", $self->complete($text));
	rename "$self->{dir}/new.conf", $self->{conf} or croak "rename: $!";
}

# conf => text; listen => [sockets]; workers => 2; args => [more options];
# env => {}; level => "info"; wrap => [command before the program, such as
# strace]; traced => 1: a tracer will come; limit => descriptors; wait => 0: do
# not wait until it is ready.
sub start
{
	my ($class, %o) = @_;
	my $self = bless {
		tmp => folder(), workers => 2, level => 'info', %o,
	}, $class;

	$self->{dir} = $self->{tmp}->dirname;
	$self->{conf} = "$self->{dir}/weir.conf";
	$self->conf($o{conf});
	$self->{to} = [map { addr_of($_) } @{$o{listen} // []}];
	# As a service manager does.
	$self->{notify} = IO::Socket::UNIX->new(Type => SOCK_DGRAM,
	    Local => "$self->{dir}/notify") // croak "notify: $!";
	$self->{notify}->blocking(0);
	$self->{said} = '';
	pipe my $out, my $in or croak "pipe: $!";
	$self->{pid} = fork // croak "fork: $!";
	if ($self->{pid} == 0) {
		close $out;
		eval { $self->become($in) };
		print STDERR "weir did not start: $@ $!\n";
		POSIX::_exit(127);
	}
	$self->{alive} = $out;
	$self->{stdout} = '';
	push @RUNNING, $self;
	# Who connects to a stopped weir must see it.
	close $_ for @{$o{listen} // []};
	$self->ready unless defined $o{wait} && !$o{wait};
	return $self;
}

sub addr_of
{
	my ($s) = @_;

	return 'unix:' . $s->hostpath if $s->isa('IO::Socket::UNIX');
	my $host = $s->sockhost;
	return ($host =~ /:/ ? "[$host]" : $host) . ':' . $s->sockport;
}

# The child: a session of its own, by which all its processes are found.
sub become
{
	my ($self, $in) = @_;
	my @fds = map { fileno $_ } @{$self->{listen} // []};

	POSIX::setsid();
	open STDIN, '<', '/dev/null' or die 'null';
	open STDERR, '>>', "$self->{dir}/stderr" or die 'stderr';
	POSIX::dup2(fileno $in, 1) // die 'stdout';
	# Away from where they go to, then there.
	my @high = map { dup_above($_, 3 + @fds) } @fds;
	POSIX::dup2($high[$_], 3 + $_) for 0 .. $#high;
	my $env = { NOTIFY_SOCKET => "$self->{dir}/notify",
		%{$self->{env} // {}} };
	$ENV{$_} = $env->{$_} for keys %$env;
	# A process may have one tracer, and leaks are sought by tracing.
	$ENV{ASAN_OPTIONS} = join ':', $ENV{ASAN_OPTIONS} // (),
	    'detect_leaks=0' if $self->{traced} ||
	    ($self->{wrap} // [''])->[0] eq 'strace';
	$ENV{LISTEN_PID} = $$ if $ENV{LISTEN_FDS};
	my @cmd = ($PROGRAM, '-c', $self->{conf}, '-p', $self->{dir},
	    @{$self->{args} // []});
	unshift @cmd, memcheck($self->{dir}) if $VALGRIND;
	unshift @cmd, @{$self->{wrap}} if $self->{wrap};
	unshift @cmd, 'sh', '-c', "ulimit -n $self->{limit}; exec \"\$@\"",
	    'sh' if $self->{limit};
	exec { $cmd[0] } @cmd or die "exec $cmd[0]";
}

# A copy that survives exec and is not among the first ones.
sub dup_above
{
	my ($fd, $low) = @_;
	my (@below, $new);

	do {
		$new = POSIX::dup($fd) // die 'dup';
		push @below, $new if $new < $low;
	} while ($new < $low);
	POSIX::close($_) for @below;
	return $new;
}

sub ready
{
	my ($self) = @_;

	$self->notified(qr/^READY=1$/m);
	going_on();
	return $self;
}

# ---- Wait ----------------------------------------------------------------

sub drain_stdout
{
	my ($self, $seconds) = @_;

	return unless readable($self->{alive}, $seconds);
	my $n = sysread $self->{alive}, $self->{stdout}, 65536,
	    length $self->{stdout};
	# The end: every process has closed it.  From now on, only time ends
	# a wait.
	pipe $self->{alive}, $self->{silent} or croak "pipe: $!" if !$n;
}

# Wait until the code gives true, and give that back.
sub until
{
	my ($self, $what, $code) = @_;
	my $end = now() + $PATIENCE;

	for (;;) {
		my $gone = $self->gone;
		my $r = $code->();
		return $r if $r;
		croak "waited for $what, but weir has gone" if $gone;
		croak "waited for $what" if now() > $end;
		$self->drain_stdout(0.005);
	}
}

# Wait until the master has told the service manager something.
sub notified
{
	my ($self, $pattern) = @_;

	return $self->until("a notification like $pattern", sub {
		while (sysread $self->{notify}, my ($text), 4096) {
			$self->{said} .= "$text\n";
		}
		return $self->{said} =~ $pattern;
	});
}

# Has the master ended?  Its status is in $self->{status} then.
sub gone
{
	my ($self) = @_;

	# One that another master has started is not our child; that one is.
	if ($self->{heir}) {
		waitpid $self->{pid}, POSIX::WNOHANG();
		$self->{status} //= 0 unless kill 0, $self->{heir};
		return defined $self->{status};
	}
	if (!defined $self->{status} &&
	    waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid}) {
		$self->{status} = $?;
	}
	return defined $self->{status};
}

# The exit status, or "signal N", once it has ended.
sub ended
{
	my ($self) = @_;

	$self->until('weir to end', sub { $self->gone });
	my $st = $self->{status};
	return $st & 127 ? 'signal ' . ($st & 127) : $st >> 8;
}

sub log { return slurp("$_[0]{dir}/error.log") . slurp("$_[0]{dir}/stderr") }
sub mark { my ($self) = @_; return $self->{mark} = length $self->log }

# Wait for a line in the error log, after the mark if there is one.  The
# line.
sub logged
{
	my ($self, $pattern) = @_;

	return $self->until("a line like $pattern", sub {
		my $log = substr $self->log, $self->{mark} // 0;
		return $log =~ /^(.*$pattern.*)$/m ? $1 : undef;
	});
}

# When a line of it was written: seconds of the day's clock.
sub time_of
{
	my ($line) = @_;
	my ($y, $mo, $d, $h, $mi, $s, $ms) =
	    $line =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)Z/ or
	    return 0;

	return Time::Local::timegm($s, $mi, $h, $d, $mo - 1, $y) + $ms / 1000;
}

# Wait for n lines in the access log.  All of them.
sub access
{
	my ($self, $n) = @_;
	my @lines;

	$self->until("$n lines in the access log", sub {
		@lines = split /\n/, slurp("$self->{dir}/access.log");
		return @lines >= $n;
	});
	return @lines;
}

# Wait for the n-th session's line, by fields.
sub session
{
	my ($self, $n) = @_;
	my $line = ($self->access($n))[$n - 1];
	my %s = (line => $line, $line =~ /(\w+)=(\S+)/g);

	@s{qw(time listener client upstream server end)} = $line =~
	    m{^(\S+) (\S+) (\S+) (\S+)/(\S+) .* (\S+)$};
	return \%s;
}

# ---- Talk ----------------------------------------------------------------

# A connection to the i-th listener.
sub connect
{
	my ($self, $i, %o) = @_;

	return dial($self->{to}[$i // 0], %o);
}

sub addr { return $_[0]{to}[$_[1] // 0] }

# weir -s WORD: exit status, output, errors.
sub ask
{
	my ($self, $word) = @_;

	return run('-s', $word, '--pid', "$self->{dir}/weir.pid");
}

# Reload, with another configuration if given.  The exit status and all that
# it said.
sub reload
{
	my ($self, $text) = @_;

	$self->conf($text) if defined $text;
	my ($st, $out, $err) = $self->ask('reload');
	return wantarray ? ($st, $out . $err) : $st;
}

sub status
{
	my ($self) = @_;
	my ($st, $out, $err) = $self->ask('status');

	croak "weir -s status: $st $out$err" if $st ne '0';
	return JSON::PP->new->decode($out);
}

sub master { return $_[0]{heir} // $_[0]{pid} }

# A signal to these processes, or the master.  STOP: they are stopped when
# this returns, so what comes then is not theirs.
sub signal
{
	my ($self, $signal, @pids) = @_;
	my $n;

	@pids = $self->master unless @pids;
	$n = kill $signal, @pids;
	until_true('all to stop', sub {
		return !grep { (slurp("/proc/$_/stat") =~ /\) (\S) /)[0] !~
		    /[TtZ]/ } grep { -e "/proc/$_" } @pids;
	}) if $signal eq 'STOP';
	return $n;
}

# Wait for what no program tells: look, and let others run, until it is so.
sub until_true
{
	my ($what, $code, $patience) = @_;
	my $end = now() + ($patience // $PATIENCE);

	until ($code->()) {
		croak "waited for $what" if now() > $end;
		select my $r = '', my $w = '', my $x = '', 0.005;
	}
	return 1;
}

# Another master has taken over: follow it from now on.
sub follow
{
	my ($self, $pid) = @_;

	$self->{heir} = $pid;
	delete $self->{status};
}

# ---- Processes -----------------------------------------------------------

# pid, parent, state and title of every process of this weir: those of its
# session, whoever their parent is by now.
sub processes
{
	my ($self) = @_;
	my @all;

	opendir my $proc, '/proc' or croak "/proc: $!";
	for my $pid (grep { /^\d+$/ } readdir $proc) {
		my ($state, $parent, $group, $session) = slurp(
		    "/proc/$pid/stat") =~ /\) (\S) (\d+) (\d+) (\d+) / or next;
		next unless $session == $self->{pid};
		# The arguments are those of valgrind, if it is there.
		my ($title) = slurp("/proc/$pid/" .
		    ($VALGRIND ? 'comm' : 'cmdline')) =~ /^([^\0\n]*)/;
		push @all, { pid => $pid, parent => $parent,
			state => $state, title => $title };
	}
	return @all;
}

# Process ids by title: "worker", "worker 1", "control".
sub pids
{
	my ($self, $title) = @_;

	my @pids = map { $_->{pid} } grep {
		$_->{state} ne 'Z' && $_->{title} =~ /^weir: $title\b/
	} $self->processes;

	return @pids = sort { $a <=> $b } @pids;
}

sub workers { return $_[0]->pids('worker') }

# How much dearer the kernel is here than on a machine that limits of CPU time
# are meant for, at least 1: a system call there is half a microsecond at most,
# and some virtual machines need three times as much.
sub slowness
{
	my $cpu = sub { Time::HiRes::clock_gettime(
	    Time::HiRes::CLOCK_PROCESS_CPUTIME_ID()) };
	my ($began, $parent) = $cpu->();

	$parent = getppid for 1 .. 50000;
	my $us = ($cpu->() - $began) / 50000 * 1e6;
	return $us > 0.5 ? $us / 0.5 : 1;
}

# Bytes of the process: Rss, Pss, Private.
sub memory
{
	my ($self, $pid) = @_;
	my $text = slurp("/proc/$pid/smaps_rollup");
	my %m = (Private => 0);

	while ($text =~ /^(\w+):\s+(\d+) kB/gm) {
		my ($key, $bytes) = ($1, $2 * 1024);
		$m{$key} = $bytes;
		$m{Private} += $bytes if $key =~ /^Private_/;
	}
	return \%m;
}

# Seconds of CPU that the processes have used.
sub cpu
{
	my ($self, @pids) = @_;
	my $ticks = 0;

	for my $pid (@pids) {
		my @f = split ' ', slurp("/proc/$pid/stat") =~ s/.*\) //sr;
		$ticks += $f[11] + $f[12] if @f;
	}
	return $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub fds
{
	my ($self, $pid) = @_;

	opendir my $dir, "/proc/$pid/fd" or return 0;
	return scalar grep { /^\d+$/ } readdir $dir;
}

# ---- Stop ----------------------------------------------------------------

# What no test wants to see in what was said.
my $BAD = qr/^.*(?:\bassert|Assertion|Sanitizer|runtime\ error:
	|\bleak:|SIGSEGV|\bbacktrace\b).*$/xm;

# Tell it to end, and check how it does: signal => "QUIT"; status => 0.
sub stop
{
	my ($self, %o) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @bad;

	$self->signal($o{signal} // 'QUIT') unless $self->gone;
	my $got = eval { $self->ended } // "nothing ($@)";
	my $want = $o{status} // 0;
	push @bad, "it ended with $got, not $want" if $got ne $want;
	push @bad, $self->remains($o{seen});
	Test::More::is(join("\n", @bad), '', $o{name} // 'it ends clean');
	$self->finish;
}

# Processes that live on, and what the logs should not say.  A pattern of
# lines that this test has asked for is not counted.
sub remains
{
	my ($self, $seen) = @_;
	my @bad;

	eval {
		$self->{left} = [];
		my $end = now() + $PATIENCE / 2;
		while (my @left = $self->processes) {
			$self->{left} = \@left;
			die if now() > $end;
			$self->drain_stdout(0.005);
		}
		1;
	} or push @bad, map { "left: $_->{pid} $_->{title} ($_->{state})" }
	    @{$self->{left}};
	my $log = $self->log;
	while ($log =~ /($BAD)/g) {
		my $line = $1;
		push @bad, $line unless defined $seen && $line =~ $seen;
	}
	return @bad, reports($self->{dir});
}

# End the rest, and show the log of a test that failed.
sub finish
{
	my ($self) = @_;

	return if $self->{finished}++;
	my @left = map { $_->{pid} } $self->processes;
	kill 'CONT', @left if @left;
	kill 'KILL', @left if @left;
	waitpid $self->{pid}, 0 unless $self->gone;
	@RUNNING = grep { $_ != $self } @RUNNING;
	$self->show unless Test::More->builder->is_passing &&
	    !$self->{failed};
	delete $self->{tmp};
}

sub show
{
	my ($self) = @_;

	for my $name (qw(weir.conf stderr error.log access.log)) {
		my @lines = split /\n/, slurp("$self->{dir}/$name");
		my $cut = @lines > 60 ? ' (the last 60 lines)' : '';
		Test::More::diag("---- $name$cut");
		Test::More::diag($_) for splice @lines, $cut ? -60 : 0;
	}
}

# However the test ends, nothing of it stays.
END {
	if ($$ == $OWNER) {
		my $status = $?;
		for my $self (my @all = @RUNNING) {
			$self->{failed} = 1;
			$self->finish;
		}
		$? = $status;
	}
}

1;

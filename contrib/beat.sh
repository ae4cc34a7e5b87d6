#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Announce a server to weir, every 30 seconds until this is killed:
#   beat.sh WEIR:PORT KEYFILE UPSTREAM NAME ADDRESS [weight=N] [load=N]
# With leaving=1, or once=1 (which is not sent): only once.
to=$1 key=$2 me="upstream=$3 name=$4 address=$5"
shift 5
while :; do
	text="$me ${*/once=1/} time=$(date +%s) nonce=$(openssl rand -hex 8)"
	text=$(echo $text)
	hmac=$(printf %s "$text" | openssl dgst -sha256 -r -hmac "$(cat "$key")")
	echo "$text hmac=${hmac%% *}" >"/dev/udp/${to%:*}/${to##*:}"
	case " $* " in *" leaving=1 "* | *" once=1 "*) exit ;; esac
	sleep 30
done

#!/bin/sh
# A Ray head on this machine, for jobs and several runs at a time, until Ctrl-C:  sh configs/cluster/local.sh --num-cpus=8
# In another terminal:  clarify-rl submit demo --address http://127.0.0.1:8265 out="$PWD/runs/demo" env.workers=4
# Further options go to `ray start`. The dashboard listens on 127.0.0.1 only, Ray's own ports on all
# addresses of the machine: without the token of ~/.ray/auth_token nobody gets in. RAY_AUTH_MODE=disabled lets everybody in.
set -eu
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
ray get-auth-token --generate >/dev/null
exec ray start --head --block --node-ip-address=127.0.0.1 --dashboard-host=127.0.0.1 --disable-usage-stats "$@"

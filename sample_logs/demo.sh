#!/bin/sh
# Rate sample_logs/ into WAREHOUSE, show what they cost, and say in plain words what was set aside and why.
#
#   sh sample_logs/demo.sh WAREHOUSE
#
# Needs `costroll` on the PATH; `make demo` sees to it. Writes inside WAREHOUSE only, and replaces that folder only if it
# is missing, empty or left by an earlier demo. Ends with 0 when every command ended as it should, else with 1.

set -u

fail() {
    printf 'demo: %s\n' "$1" >&2
    exit 1
}

# Run one command line, printed as it is run; its exit status must be the expected one.
step() { # EXPECTED_STATUS COMMAND
    printf '\n$ %s\n' "$2"
    eval "$2" 2>&1
    status=$?
    [ "$status" -eq "$1" ] || fail "this ended with $status, where $1 was expected: $2"
}

say() {
    printf '\n'
    cat
}

[ $# -eq 1 ] && [ -n "$1" ] || fail 'usage: sh sample_logs/demo.sh WAREHOUSE'
command -v costroll > /dev/null || fail 'there is no costroll on the PATH; `make demo` installs it'
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd -P) || exit 1
case $1 in
    /*) warehouse=$1 ;;
    *) [ "$(pwd -P)" = "$root" ] && warehouse=$1 || warehouse=$(pwd -P)/$1 ;;
esac
cd "$root" || exit 1

mark=$warehouse/.demo
if [ -e "$warehouse" ] && [ ! -e "$mark" ] && [ -n "$(ls -A -- "$warehouse" 2>&1)" ]; then
    fail "$warehouse holds something else than a demo; give a new folder"
fi
rm -rf -- "$warehouse" && mkdir -p -- "$warehouse" && : > "$mark" || fail "cannot write to $warehouse"

unset COSTROLL_TRACEBACK
COSTROLL_WAREHOUSE=$warehouse
export COSTROLL_WAREHOUSE
printf '$ export COSTROLL_WAREHOUSE=%s\n' "$warehouse"

step 3 'costroll run sample_logs/logs'
say <<'TEXT'
Published, with exit status 3: something new needs a look. It always adds up: 37 records were read, 28 of them count.
  1 duplicate  app_log_2025-06.jsonl:1 is chat_2025-06-10.jsonl:4 again, wrapped by the application. It counts once.
  1 conflict   app_log_2025-06.jsonl:5 and :6 are one call, written when its stream began (12 output tokens) and when it
               ended (1,000). The later one stands; the other is in quarantine.
  6 excluded   Read, understood and not billed: a 429, a queued and a failed response, two failed batch lines, an expired one.
  1 rejected   chat_2025-06-09.jsonl:3 is torn in the middle, and its call was written again on line 4. In quarantine.
And 21,500 tokens of lighthouse-preview-2025-06 have no price: no rate is known for that model. Not 0, not a guess.
TEXT
step 0 'costroll report quarantine'

step 0 'costroll run sample_logs/other_account --account acme-labs'
say <<'TEXT'
Daily totals of another account, from the usage dashboard. Complimentary tokens and prepaid capacity (scale) have no
price per token either; that is how they are meant, so nothing needs a look.
TEXT

step 0 'costroll report'

say <<'TEXT'
OpenAI cut the price of o3 to a fifth on 2025-06-10 at 00:00 UTC. Each call has the price of its own moment:
TEXT
step 0 'costroll sql "select day, tier, caching_status, input_tokens, output_tokens, cost_usd from cost_rollups where model = '\''o3-2025-04-16'\'' order by all"'

say <<'TEXT'
One of these costs taken apart, down to the lines of the logs:
TEXT
step 0 'costroll explain --day 2025-06-10 --model o3-2025-04-16 --tier standard --meter input --caching cached'

say <<'TEXT'
And what the provider billed for these days:
TEXT
step 7 'costroll reconcile sample_logs/statements/cost_*.csv'
say <<'TEXT'
Exit status 7: it does not reconcile. All but one line of the bill agree to the last digit. On 2025-06-09 it has 0.40 for
1,000,000 batch input tokens of gpt-4.1-mini-2025-04-14: that is the standard rate, and batch costs half, 0.20.
(This line was planted.) The unpriced model was not billed.
TEXT

step 0 'costroll verify'

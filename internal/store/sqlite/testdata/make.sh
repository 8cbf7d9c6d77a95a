#!/usr/bin/env bash
# usage: make.sh BINARY OUT.db.gz: runs `BINARY dev`, spends a little, kills it, and keeps its database.
set -euo pipefail
bin=$1 out=$2
dir=$(mktemp -d)
export PONTAGE_KEY_PEPPER="the pepper of the fixtures is no secret"
cd "$dir"
"$bin" dev --addr 127.0.0.1:18180 --admin-addr 127.0.0.1:18181 >/dev/null 2>&1 &
pid=$!
for _ in $(seq 100); do curl -sf http://127.0.0.1:18181/readyz >/dev/null && [ -s data/dev.env ] && break; sleep 0.05; done
set -a; . data/dev.env; set +a
api() { curl -s "$@" -H "Authorization: Bearer $PONTAGE_API_KEY" -H 'Content-Type: application/json'; }
adm() { curl -s "$@" -H "Authorization: Bearer $PONTAGE_ADMIN_TOKEN" -H 'Content-Type: application/json'; }
chat='{"model":"gpt-5-mini","max_tokens":200,"messages":[{"role":"user","content":"Hello"}]'
for i in 1 2 3; do api $PONTAGE_BASE_URL/v1/chat/completions -d "$chat}" -D head -o /dev/null; done
req=$(tr -d '\r' < head | awk 'tolower($1)=="x-request-id:"{print $2}')
for i in 1 2 3; do api $PONTAGE_BASE_URL/v1/chat/completions -d "$chat,\"stream\":true}" -o /dev/null; done
api $PONTAGE_BASE_URL/v1/chat/completions -H "Idempotency-Key: fixture" -d "$chat}" -o /dev/null
curl -s $PONTAGE_BASE_URL/v1/chat/completions -H "Authorization: Bearer $PONTAGE_TEST_KEY" -H 'Content-Type: application/json' -d "$chat}" -o /dev/null
acc=$(adm $PONTAGE_ADMIN_URL/admin/v1/accounts | python3 -c 'import json,sys; print(json.load(sys.stdin)["data"][0]["id"])')
adm $PONTAGE_ADMIN_URL/admin/v1/accounts/$acc/credits -d '{"amount_usd":"5","kind":"grant","expires_at":"2190-01-01T00:00:00Z"}' -o /dev/null
adm $PONTAGE_ADMIN_URL/admin/v1/accounts/$acc/credits -d '{"amount_usd":"2.5","kind":"topup","reference":"paid"}' -o /dev/null
adm $PONTAGE_ADMIN_URL/admin/v1/requests/$req/refund -d '{"note":"fixture"}' -o /dev/null
sleep 1.2 # folds and receipts are written
api $PONTAGE_BASE_URL/v1/chat/completions -d "$chat}" -o /dev/null # a tail that is not folded
adm $PONTAGE_ADMIN_URL/admin/v1/accounts/$acc > account.json
adm $PONTAGE_ADMIN_URL/admin/v1/accounts/$acc/keys > keys.json
adm $PONTAGE_ADMIN_URL/admin/v1/requests/$req > request.json
kill -9 $pid; wait $pid 2>/dev/null || true
python3 - "$PONTAGE_API_KEY" "$out" <<'PY'
import gzip, json, sqlite3, sys
db = sqlite3.connect("data/pontage.db")
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.execute("PRAGMA journal_mode=DELETE")
mark = db.execute("SELECT last_seq, low_water FROM ledger_mark").fetchone()
db.execute("VACUUM"); db.close()
raw = open("data/pontage.db", "rb").read()
gz = gzip.compress(raw, 9, mtime=0)
open(sys.argv[2], "wb").write(gz)
account = json.load(open("account.json")); keys = json.load(open("keys.json"))["data"]; request = json.load(open("request.json"))
want = {"account": account["id"], "balance_usd": account["balance_usd"], "test_balance_usd": account["test_balance_usd"], "entries": mark[0],
        "keys": [k["id"] for k in keys], "key": sys.argv[1], "request": request["id"], "charge_usd": request["charge_usd"]}
json.dump(want, open(sys.argv[2].replace(".db.gz", ".json"), "w"), indent=2)
print(sys.argv[2], len(raw), len(gz), mark, want)
PY
rm -rf "$dir"

#!/bin/sh
# Starts this Redis as a replica of the present master, or as the master where no Sentinel knows of another.
# SELF and FIRST are hosts, SENTINELS is a list of them; the password is in REDIS_PASSWORD.
set -eu

port=${REDIS_PORT:-6379}
master=""
for sentinel in $SENTINELS; do
  master=$(redis-cli -h "$sentinel" -p "${SENTINEL_PORT:-26379}" --no-auth-warning \
    sentinel get-master-addr-by-name tollkeeper 2> /dev/null | head -n 1) || master=""
  case $master in "" | *' '*) master="" ;; *) break ;; esac
done
[ -n "$master" ] || master=$FIRST

set -- "${REDIS_CONF:-/etc/redis/redis.conf}" --port "$port" --requirepass "$REDIS_PASSWORD" --masterauth "$REDIS_PASSWORD" \
  --replica-announce-ip "$SELF" --replica-announce-port "$port" \
  --min-replicas-to-write 1 --min-replicas-max-lag 10
[ "$master" = "$SELF" ] || set -- "$@" --replicaof "$master" "$port"
exec redis-server "$@"

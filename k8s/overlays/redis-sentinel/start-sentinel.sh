#!/bin/sh
# Starts this Sentinel on the master that the other two name, or else on the first Redis.
set -eu

folder=$(dirname "$SENTINEL_CONF")
port=${SENTINEL_PORT:-26379}
master=""
for sentinel in $SENTINELS; do
  [ "$sentinel" != "$SELF" ] || continue
  master=$(redis-cli -h "$sentinel" -p "$port" sentinel get-master-addr-by-name tollkeeper 2> /dev/null | head -n 1) || master=""
  case $master in "" | *' '*) master="" ;; *) break ;; esac
done
[ -n "$master" ] || master=$FIRST

# Sentinel writes what it learns into its file. One that is started again learns it anew.
cat > "$SENTINEL_CONF" << EOF
port $port
dir $folder
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $SELF
sentinel announce-port $port
sentinel monitor tollkeeper $master ${REDIS_PORT:-6379} 2
sentinel auth-pass tollkeeper $REDIS_PASSWORD
sentinel down-after-milliseconds tollkeeper 5000
sentinel failover-timeout tollkeeper 30000
sentinel parallel-syncs tollkeeper 1
EOF
exec redis-server "$SENTINEL_CONF" --sentinel

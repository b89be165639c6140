/** Where positions end: microseconds that a clock tells in the year 2255. */
const LAST = 2 ** 53;

/**
 * Records in Lua: a hash of name to `<version> +<value>`, or `<version> -` once deleted, and a log, a sorted set of names
 * by the position of their last change. Positions are the server's microseconds, counted on where two changes meet, so
 * that a server that has lost its last writes gives none twice.
 *
 * A name that was written once stays in both, so both have as many. The hash in which replicas report has that number too,
 * as `records`: whichever of the three is lost, another tells. The log can be made from the hash; what the hash has lost
 * only a replica can tell that knows it, and until then nothing is written, lest a second beginning be made beside the first.
 *
 * Keys: hash, log, the hash of the replicas. Arguments: channel, caller, operation, then
 * - `put`, `new`: name, and value as `+<value>` or `-`. `new` leaves a record alone that is there. Answers with what is
 *   there then, or with the error `LOST <there> <were>`.
 * - `restore`: names and what the caller knows of them, in turn; what is older here gives way. It keeps its version and
 *   gets a new position, since others have read on.
 *
 * What a user may not do fails before anything is written: the log is written to without effect first, and the hash before
 * the log.
 */
export const WRITE = `
local hash, log, replicas = KEYS[1], KEYS[2], KEYS[3]
local channel, caller, op = ARGV[1], ARGV[2], ARGV[3]

-- Positions from here on no clock tells: nothing could come after them.
local LAST = ${LAST}

local function versionOf(text)
  return text and tonumber(string.match(text, '^(%d+) ')) or 0
end
local function position()
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  for _ = 1, redis.call('ZCARD', log) do
    local name, last = unpack(redis.call('ZREVRANGE', log, 0, 0, 'WITHSCORES'))
    if tonumber(last) < LAST then return string.format('%.0f', math.max(now, tonumber(last) + 1)) end
    redis.call('ZADD', log, string.format('%.0f', now), name)
  end
  return string.format('%.0f', now)
end
local function write(name, text, at)
  redis.call('ZADD', log, 'XX', 'GT', 0, name)
  redis.call('HSET', hash, name, text)
  redis.call('ZADD', log, at, name)
end
local told = tonumber(string.match(redis.call('HGET', replicas, 'records') or '', '^%d+$')) or 0
local function tell()
  local there = redis.call('HLEN', hash)
  if there > told then redis.pcall('HSET', replicas, 'records', there) end
  redis.pcall('PUBLISH', channel, caller)
end

if op == 'restore' then
  for i = 4, #ARGV, 2 do
    local name, text = ARGV[i], ARGV[i + 1]
    local present = redis.call('HGET', hash, name)
    local isOlder = versionOf(present) < versionOf(text)
    if isOlder or not redis.call('ZSCORE', log, name) then write(name, isOlder and text or present, position()) end
  end
  tell()
  return ''
end

local there, were = redis.call('HLEN', hash), math.max(redis.call('ZCARD', log), told)
if there < were then return {err = 'LOST ' .. there .. ' ' .. were} end
local name = ARGV[4]
local present = redis.call('HGET', hash, name)
if op == 'new' and present and string.find(present, ' +', 1, true) then return present end
local at = position()
local text = at .. ' ' .. ARGV[5]
write(name, text, at)
tell()
return text
`;

/**
 * Reads the records that have changed after a position, in the order of their changes.
 *
 * Keys: as of `WRITE`. Arguments: position, how many at most. Answers with the id of the server's process, how many
 * records the hash has, deleted ones too, how many the log has, how many there were by the hash of the replicas, the
 * position of the last one read, how many were found, and names and texts in turn of those that are not lost.
 */
export const READ = `
local hash, log, replicas = KEYS[1], KEYS[2], KEYS[3]
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local found = redis.call('ZRANGEBYSCORE', log, '(' .. ARGV[1], '(${LAST}', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local told = string.match(redis.call('HGET', replicas, 'records') or '', '^%d+$') or '0'
local reply = {server, redis.call('HLEN', hash), redis.call('ZCARD', log), told, ARGV[1], #found / 2}
for i = 1, #found, 2 do
  reply[5] = found[i + 1]
  local text = redis.call('HGET', hash, found[i])
  if text then
    reply[#reply + 1] = found[i]
    reply[#reply + 1] = text
  end
end
return reply
`;

/** Reads the hash alone, a page at a time. Arguments: cursor, how many about. Answers as `HSCAN` does. */
export const SCAN = `return redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])`;

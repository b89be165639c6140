/**
 * Records in Lua: a hash of name to `<version> +<value>`, or `<version> -` once deleted, and a log, a sorted set of names
 * by the position of their last change. Positions are the server's microseconds, counted on where two changes meet, so
 * that a server that has lost its last writes gives none twice.
 *
 * Arguments: channel, caller, operation, then
 * - `put`, `new`: name, and value as `+<value>` or `-`. `new` leaves a record alone that is there. Answers with what is
 *   there then.
 * - `restore`: names and what the caller knows of them, in turn; what is older here gives way. It keeps its version and
 *   gets a new position, since others have read on.
 */
export const WRITE = `
local hash, log = KEYS[1], KEYS[2]
local channel, caller, op = ARGV[1], ARGV[2], ARGV[3]

local function versionOf(text)
  return text and tonumber(string.match(text, '^(%d+) ')) or 0
end
local function position()
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local last = redis.call('ZREVRANGE', log, 0, 0, 'WITHSCORES')[2]
  return string.format('%.0f', math.max(now, last and tonumber(last) + 1 or 0))
end
local function write(name, text, at)
  redis.call('HSET', hash, name, text)
  redis.call('ZADD', log, at, name)
end

if op == 'restore' then
  local changed = false
  for i = 4, #ARGV, 2 do
    if versionOf(redis.call('HGET', hash, ARGV[i])) < versionOf(ARGV[i + 1]) then
      write(ARGV[i], ARGV[i + 1], position())
      changed = true
    end
  end
  if changed then redis.call('PUBLISH', channel, caller) end
  return ''
end

local name = ARGV[4]
local present = redis.call('HGET', hash, name)
if op == 'new' and present and string.find(present, ' +', 1, true) then return present end
local at = position()
local text = at .. ' ' .. ARGV[5]
write(name, text, at)
redis.call('PUBLISH', channel, caller)
return text
`;

/**
 * Reads the records that have changed after a position, in the order of their changes.
 *
 * Arguments: position, how many at most. Answers with the id of the server's process, how many records there are, deleted
 * ones too, the position of the last one read, and names and texts in turn.
 */
export const READ = `
local hash, log = KEYS[1], KEYS[2]
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local found = redis.call('ZRANGEBYSCORE', log, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local reply = {server, redis.call('ZCARD', log), ARGV[1]}
for i = 1, #found, 2 do
  reply[3] = found[i + 1]
  reply[#reply + 1] = found[i]
  reply[#reply + 1] = redis.call('HGET', hash, found[i])
end
return reply
`;

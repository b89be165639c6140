/** How long, in ms, a replica is counted without having been heard of, and others are waited for at most. */
export const ABSENT_MS = 3000;
/** How long, in ms, the first to come to an empty server that has just started, and knows nothing or nobody, waits for others. */
const HOLD_MS = 1000;
/** Fields of the hash at most: three for each replica, one for each unlimited tier, and a few. */
const MAX_FIELDS = 16_384;

/**
 * Who decides together, in Lua: one hash beside the keys. `p:<replica>` is when a replica was last heard of, `run` the
 * server that it was, `settle` until when decisions wait, `w:<replica>` that this one is waited for, and which of its threads,
 * by their lanes, have reported, `k:<replica>` what its limits' names stand for (see `limit-kinds.ts`).
 *
 * When another server answers than before, it may have lost the last writes, or all. So until every replica that was
 * there has reported what it knows, or {@link ABSENT_MS} are over, nobody takes: each decides by its outage policy. Nobody
 * could be heard of while there was no server, so whoever was there counts as heard of when the new one is met. A replica
 * that is several threads has reported when each of those has that it is by then, and is gone when the last has left.
 *
 * What is here is believed no further than these could have written it: a time that is none is long ago, one that is ahead
 * is of a clock that has jumped, and a hash with more than {@link MAX_FIELDS} is begun anew; only `records` stays, which is
 * not the replicas' own (see `records.ts`).
 *
 * Arguments: server, replica, whether it has state, whether it has reported it, whether it is leaving, whether
 * the server has just started, its kinds, its lane, how many lanes the replica has, how many peers it knew, these, then tier
 * and tokens in turn. Answers with how long to wait, the replicas heard of lately, those of their kinds that are not the
 * caller's, 1 if there is no room for what is spent, and the time.
 */
export const REGISTRY = `
local key = KEYS[1]
local server, me = ARGV[1], ARGV[2]
local hasState, hasReported, isLeaving, hasJustStarted = ARGV[3] == '1', ARGV[4] == '1', ARGV[5] == '1', ARGV[6] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kinds, lane, lanes, peers = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])

local hash, there = {}, {}
local flat = redis.pcall('HLEN', key)
if type(flat) == 'number' then
  if flat > ${MAX_FIELDS} then
    local records = redis.call('HGET', key, 'records')
    redis.call('DEL', key)
    if records then redis.pcall('HSET', key, 'records', records) end
  end
  flat = redis.pcall('HGETALL', key)
end
if flat.err then
  if not string.find(flat.err, 'WRONGTYPE', 1, true) then return flat end
  return {err = 'WRONGTYPE ' .. key .. ' is not the hash in which replicas report; delete it'}
end
for i = 1, #flat, 2 do
  hash[flat[i]] = flat[i + 1]
  if string.sub(flat[i], 1, 2) == 'p:' then there[#there + 1] = string.sub(flat[i], 3) end
end

local function timeOf(text)
  return text and string.find(text, '^%d+$') and tonumber(text) or 0
end
-- How long it still is until then: never longer than it was when it was written.
local function left(field, longest)
  local ms = timeOf(hash[field]) - now
  return ms <= longest and ms or 0
end
local function set(field, value)
  hash[field] = value
  redis.call('HSET', key, field, value)
end
local function drop(field)
  hash[field] = nil
  redis.call('HDEL', key, field)
end
local function await(replica)
  set('p:' .. replica, string.format('%.0f', now))
  set('w:' .. replica, '1')
end
-- Has it waited for no longer if all its threads have reported.
local function heard()
  local waited = hash['w:' .. me]
  if not waited then return end
  local reported, n = isLeaving and '1' or '1.' .. lane, isLeaving and 0 or 1
  for other in string.gmatch(waited, '%.(%d+)') do
    if other ~= lane then reported, n = reported .. '.' .. other, n + 1 end
  end
  if n < (isLeaving and lanes - 1 or lanes) then set('w:' .. me, reported) else drop('w:' .. me) end
end

-- Want of memory refuses a write only as the first of a script. Who is there takes little room, and is to be known then
-- most of all: without it every replica would take the whole limit for its part.
local first = redis.pcall('HSET', key, 'p:' .. me, string.format('%.0f', now))
local isFull = type(first) == 'table' and first.err and string.find(first.err, 'OOM', 1, true)
if type(first) == 'table' and first.err and not isFull then return first end
redis.call('HDEL', key, 'w:')

local before = hash.run
if before ~= server then
  set('run', server)
  if before or hasState or hasJustStarted then
    set('settle', string.format('%.0f', now + ${ABSENT_MS}))
    for _, replica in ipairs(there) do await(replica) end
  end
  if not before and (not hasState or peers == 0) and hasJustStarted then set('hold', string.format('%.0f', now + ${HOLD_MS})) end
end
if left('settle', ${ABSENT_MS}) > 0 and not hasReported then
  for i = 1, peers do
    if not hash['p:' .. ARGV[10 + i]] then await(ARGV[10 + i]) end
  end
end
set('p:' .. me, string.format('%.0f', now))
if hasReported or isLeaving then heard() end
if hash['k:' .. me] ~= kinds then set('k:' .. me, kinds) end
if isLeaving and lanes == 1 then
  drop('p:' .. me)
  drop('k:' .. me)
end
for i = 11 + peers, #ARGV, 2 do
  redis.pcall('HINCRBY', key, 'u:' .. ARGV[i], ARGV[i + 1])
end

local alive, others, waiting = {}, {}, false
local seen = {[kinds] = true}
for field, value in pairs(hash) do
  if string.sub(field, 1, 2) == 'p:' then
    local replica, heard = string.sub(field, 3), timeOf(value)
    if heard > now then redis.call('HSET', key, field, string.format('%.0f', now)) end
    if now - heard > ${ABSENT_MS} then
      redis.call('HDEL', key, field, 'w:' .. replica, 'k:' .. replica)
    else
      alive[#alive + 1] = replica
      if hash['w:' .. replica] then waiting = true end
      local theirs = hash['k:' .. replica]
      if theirs and not seen[theirs] then
        seen[theirs] = true
        others[#others + 1] = theirs
      end
    end
  end
end
redis.pcall('PEXPIRE', key, 40 * 86400000)
return {math.max(waiting and left('settle', ${ABSENT_MS}) or 0, left('hold', ${HOLD_MS}), 0), alive, others, isFull and 1 or 0, now}
`;

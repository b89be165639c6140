/** The largest number that is kept. */
const MAX = Number.MAX_SAFE_INTEGER;
/** After how long, in ms, a process that has said nothing is forgotten. */
export const SILENT_MS = 24 * 3_600_000;

/**
 * Writes what a process has counted: of each cell the larger of each number, and the difference into the sums of its day and of
 * its month. What is told again changes nothing, whenever it comes.
 *
 * Keys: for each account and hour the hashes of its day, of its month's days, and of its months. Values are calls, thousandths,
 * denied, thousandths refunded, and how often something has come after the day was closed.
 *
 * Arguments: for each of these how long, in ms, each hash lives at least; the first month that is kept; whether the day is closed;
 * the day and the month as its fields begin; how many cells; and of each cell its field, what its field has in common with those of
 * the sums, its numbers, and whether it should be there. Answers for each how many were not there that should be, or with an error,
 * `FOREIGN <key>` for what is no such value.
 *
 * Of one account and hour either all is written or nothing: what can be refused is done without effect first.
 */
export const TELL = `
local MAX = ${MAX}

local function parse(text, key)
  if not text then return {0, 0, 0, 0, 0} end
  local calls, units, denied, refunded, revision = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not calls then error({err = 'FOREIGN ' .. key}) end
  return {tonumber(calls), tonumber(units), tonumber(denied), tonumber(refunded), tonumber(revision)}
end

-- Has a key live so long at least; says whether it is not there yet, and has to be told so again.
local function live(key, ms)
  local left = redis.call('PTTL', key)
  if left < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
  return left == -2
end

local function add(sums, field, text, key, differences, revision)
  local sum = sums[field] or parse(text, key)
  for i = 1, 4 do sum[i] = math.min(MAX, sum[i] + differences[i]) end
  sum[5] = sum[5] + revision
  sums[field] = sum
end

local function set(key, sums)
  local line = {}
  for field, sum in pairs(sums) do
    line[#line + 1] = field
    line[#line + 1] = string.format('%.0f %.0f %.0f %.0f %.0f', unpack(sum))
  end
  redis.call('HSET', key, unpack(line))
end

local function tell(day, month, months, at)
  local lives = {[day] = ARGV[at], [month] = ARGV[at + 1], [months] = ARGV[at + 2]}
  local first, late, count = ARGV[at + 3], tonumber(ARGV[at + 4]), tonumber(ARGV[at + 7])
  local fields, dayFields, monthFields = {}, {}, {}
  for i = 1, count do
    local cell = at + 4 + 4 * i
    fields[i] = ARGV[cell]
    dayFields[i] = ARGV[at + 5] .. ARGV[cell + 1]
    monthFields[i] = ARGV[at + 6] .. ARGV[cell + 1]
  end
  local stored = redis.call('HMGET', day, unpack(fields))
  local dayTexts = redis.call('HMGET', month, unpack(dayFields))
  local monthTexts = redis.call('HMGET', months, unpack(monthFields))

  local missing, isNew, isNewMonth = 0, false, false
  local cells, daySums, monthSums = {}, {}, {}
  for i = 1, count do
    local cell = at + 4 + 4 * i
    if not stored[i] then
      isNew = true
      if ARGV[cell + 3] == '1' then missing = missing + 1 end
    end
    local old, told = parse(stored[i], day), parse(ARGV[cell + 2] .. ' 0', day)
    local differences, changes = {}, false
    for k = 1, 4 do
      differences[k] = math.max(0, told[k] - old[k])
      changes = changes or differences[k] > 0
    end
    if changes then
      isNewMonth = isNewMonth or not monthTexts[i]
      add(cells, fields[i], stored[i], day, differences, late)
      add(daySums, dayFields[i], dayTexts[i], month, differences, late)
      add(monthSums, monthFields[i], monthTexts[i], months, differences, late)
    end
  end
  if not next(cells) then return missing end

  for key, ms in pairs(lives) do
    if not isNew or not live(key, ms) then lives[key] = nil end
  end
  set(day, cells)
  set(month, daySums)
  set(months, monthSums)
  for key, ms in pairs(lives) do redis.call('PEXPIRE', key, ms) end
  if isNewMonth then
    for _, field in ipairs(redis.pcall('HKEYS', months)) do
      if string.sub(field, 1, #first) < first then redis.pcall('HDEL', months, field) end
    end
  end
  return missing
end

local replies, at = {}, 1
for i = 1, #KEYS, 3 do
  local done, reply = pcall(tell, KEYS[i], KEYS[i + 1], KEYS[i + 2], at)
  if not done and type(reply) ~= 'table' then reply = {err = tostring(reply)} end
  replies[#replies + 1] = reply
  at = at + 8 + 4 * tonumber(ARGV[at + 7])
end
return replies
`;

/** Reads hashes. Keys: these. Answers for each with what \`HGETALL\` does, or with its error. */
export const SUMS = `
local replies = {}
for i = 1, #KEYS do replies[i] = redis.pcall('HGETALL', KEYS[i]) end
return replies
`;

/**
 * Has accounts found: in a sorted set of a month's, in the order of their bytes.
 *
 * Keys: the set, the hash of names. Arguments: how long, in ms, it lives at least, the name of the month, accounts.
 */
export const INDEX = `
local function live()
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
end
local line = {}
for i = 3, #ARGV do
  line[#line + 1] = 0
  line[#line + 1] = ARGV[i]
end
live()
redis.call('HSET', KEYS[2], ARGV[2], 1)
redis.call('ZADD', KEYS[1], unpack(line))
live()
return #ARGV - 2
`;

/** Reads some accounts of several months. Keys: their sets. Arguments: after which, and how many. Answers with those of each. */
export const ACCOUNTS = `
local replies = {}
for i = 1, #KEYS do replies[i] = redis.call('ZRANGEBYLEX', KEYS[i], ARGV[1], '+', 'LIMIT', 0, ARGV[2]) end
return replies
`;

/**
 * Takes down how far a process is, if this is the server that it means, and one that knows it unless it joins.
 *
 * Keys: the hash of processes, the hash of names. Arguments: process, the server's id, whether it joins, how many names it knows, what
 * to take down, names. Answers with the server's id, whether it was taken down, and all names if they are not as many.
 */
export const REPORT = `
local processes, names = KEYS[1], KEYS[2]
local process, expected, joins, known = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if server ~= expected or not joins and redis.call('HEXISTS', processes, process) == 0 then return {server, 0} end

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for i = 6, #ARGV do redis.call('HSET', names, ARGV[i], 1) end
redis.call('HSET', processes, process, now .. ' ' .. ARGV[5])
if redis.call('HLEN', names) + 0 == known then return {server, 1} end
return {server, 1, redis.call('HKEYS', names)}
`;

/** Forgets processes that have been silent for a day. Keys: their hash. Answers with the others, as \`HGETALL\` does. */
export const OTHERS = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local replies = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at = tonumber(string.match(all[i + 1], '^(%d+) ') or '0')
  if now - at > ${SILENT_MS} then
    redis.call('HDEL', KEYS[1], all[i])
  else
    replies[#replies + 1] = all[i]
    replies[#replies + 1] = all[i + 1]
  end
end
return replies
`;

/** Forgets a process. Keys: their hash. Arguments: process. */
export const LEAVE = `return redis.call('HDEL', KEYS[1], ARGV[1])`;

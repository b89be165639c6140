/** The largest amount that is counted, and the largest number that is read. */
export const MAX = 2 ** 52;

/**
 * Rules of limits in Lua, to stand in a script behind `floor`, `min` and `max` of its `math`. It counts in the same whole units as
 * the engines (`docs/decisions/exact-buckets.md`), which doubles hold exactly, so that all three agree to the last unit.
 *
 * - `count(text)`: a whole number as it was written here.
 * - `ruleOf(text)`: the rule that a text stands for: `kind`, `isBucket`, `capacity`, `perMilli`, and `perMs` of a bucket or
 *   `span`, `period` and `anchor` of a quota. A span is `0` for days, the anchor day of months, `hour`, `week:<anchor day>`,
 *   `year:<anchor month>`, `once`. A capacity of 0 denies everything that costs something. One of concurrency `isPlaces`, and
 *   has its places as `capacity`, and a `timeout` in ms.
 * - `converted(spent, from, to, initial)`, `unitsOf(milli, from, to)`: amounts of one bucket in the units of another; of one that
 *   never has anything, `initial` and nothing.
 * - `refilled(spent, elapsed, rule, initial)`: what is still spent of a bucket after some ms. An amount above ${MAX} says for how many
 *   units more it is blocked; after these, `initial` units are spent. `blockedFor(ms, rule)` is such an amount.
 */
export const RULES = `
-- nil for anything else, such as 'inf' or '0x10', which Lua would take for a number.
local function count(text)
  local number = text and string.find(text, '^%d+$') and tonumber(text)
  return number and number <= ${MAX} and number or nil
end

local function bucketOf(text)
  local capacity, perMs, perMilli = string.match(text, '^b (%d+) (%d+) (%d+)$')
  capacity, perMs, perMilli = count(capacity), count(perMs), count(perMilli)
  if not (capacity and perMs and perMilli) then return nil end
  -- One that never has anything refills nothing either.
  if perMilli < 1 or capacity % perMilli > 0 or (capacity < 1) ~= (perMs < 1) then return nil end
  return {text = text, kind = 'bucket', isBucket = true, capacity = capacity, perMs = perMs, perMilli = perMilli}
end

-- The last anchor of the periods that may begin anywhere.
local anchors = {week = 7, month = 31, year = 12}
local function quotaOf(text)
  local capacity, span = string.match(text, '^q (%d+) ([%w:]+)$')
  capacity = count(capacity)
  if not capacity then return nil end
  local period, anchor = string.match(span, '^(%a*):?(%d*)$')
  anchor = count(anchor)
  if period == '' then period = anchor == 0 and 'day' or 'month' end
  local last = anchors[period]
  local isSound = period == 'day' or (period == 'hour' or period == 'once') and not anchor
  if last then isSound = anchor and anchor >= 1 and anchor <= last end
  if not isSound then return nil end
  return {
    text = text, kind = period .. ' quota', isBucket = false, capacity = capacity, perMilli = 1,
    span = span, period = period, anchor = anchor,
  }
end

local function placesRuleOf(text)
  local capacity, timeout = string.match(text, '^c (%d+) (%d+)$')
  capacity, timeout = count(capacity), count(timeout)
  if not (capacity and timeout) then return nil end
  return {text = text, kind = 'concurrency', isPlaces = true, capacity = capacity, timeout = timeout}
end

-- By their text, so that those that are the same are one; nil for a text that is none.
local rules = {}
local function ruleOf(text)
  local rule = rules[text] or bucketOf(text) or quotaOf(text) or placesRuleOf(text)
  rules[text] = rule
  return rule
end

-- The whole part of amount * to / from, and whether there is a rest; exactly: bit by bit, since the product has up to 103 bits.
local function scaled(amount, from, to)
  local quotient, rest, bit = 0, 0, ${MAX}
  while bit >= 1 do
    quotient, rest = quotient * 2, rest * 2
    if amount >= bit then
      amount = amount - bit
      rest = rest + to
    end
    local times = floor(rest / from)
    quotient, rest = quotient + times, rest - times * from
    if quotient > ${MAX} then return ${MAX}, false end
    bit = bit / 2
  end
  return quotient, rest > 0
end

-- What was spent of a bucket in the units of another: the same fraction of its capacity, rounded up.
local function converted(spent, from, to, initial)
  if from.capacity == 0 then return initial end
  if from.capacity == to.capacity then return spent end
  local whole, rest = scaled(spent, from.capacity, to.capacity)
  return min(${MAX}, rest and whole + 1 or whole)
end

local function blockedFor(ms, rule)
  return ${MAX} + min(ms, floor(${MAX - 1} / rule.perMs)) * rule.perMs
end

local function refilled(spent, elapsed, rule, initial)
  local left = spent - elapsed * rule.perMs
  if spent <= ${MAX} or left > ${MAX} then return max(0, left) end
  return max(0, initial - (${MAX} - left))
end

-- Thousandths of a token under one bucket's rule in units of another: what is charged is rounded up, what is given back down.
local function unitsOf(milli, from, to)
  if from.capacity == 0 then return 0 end
  if from == to then return milli * to.perMilli end
  local whole, rest = scaled(min(${MAX}, math.abs(milli)), from.capacity / from.perMilli, to.capacity)
  if milli < 0 then return -whole end
  return rest and whole + 1 or whole
end
`;

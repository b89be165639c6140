/** The largest amount that is counted, and the largest number that is read. */
export const MAX = 2 ** 52;

/**
 * Rules of limits in Lua, to stand in a script behind `floor` and `min` of its `math`. It counts in the same whole units as
 * the engines (`docs/decisions/exact-buckets.md`), which doubles hold exactly, so that all three agree to the last unit.
 *
 * - `count(text)`: a whole number as it was written here.
 * - `ruleOf(text)`: the rule that a text stands for: `kind`, `isBucket`, `capacity`, `perMilli`, and `perMs` of a bucket or
 *   `anchorDay` of a quota, 0 for days.
 * - `converted(spent, from, to)`, `unitsOf(milli, from, to)`: amounts of one bucket in the units of another.
 */
export const RULES = `
-- nil for anything else, such as 'inf' or '0x10', which Lua would take for a number.
local function count(text)
  local number = text and string.find(text, '^%d+$') and tonumber(text)
  return number and number <= ${MAX} and number or nil
end

-- By their text, so that those that are the same are one; nil for a text that is none.
local rules = {}
local function ruleOf(text)
  local rule = rules[text]
  if rule then return rule end
  local letter, capacity, pace, perMilli = string.match(text, '^([bq]) (%d+) (%d+) ?(%d*)$')
  capacity, pace, perMilli = count(capacity), count(pace), count(perMilli) or 1
  if not (capacity and pace) then return nil end
  if letter == 'b' then
    if capacity < 1 or pace < 1 or perMilli < 1 or capacity % perMilli > 0 then return nil end
    rule = {text = text, kind = 'bucket', isBucket = true, capacity = capacity, perMs = pace, perMilli = perMilli}
  else
    if pace > 31 then return nil end
    local kind = pace == 0 and 'day quota' or 'month quota'
    rule = {text = text, kind = kind, isBucket = false, capacity = capacity, anchorDay = pace, perMilli = 1}
  end
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
local function converted(spent, from, to)
  if from.capacity == to.capacity then return spent end
  local whole, rest = scaled(spent, from.capacity, to.capacity)
  return min(${MAX}, rest and whole + 1 or whole)
end

-- Thousandths of a token under one bucket's rule in units of another: what is charged is rounded up, what is given back down.
local function unitsOf(milli, from, to)
  if from == to then return milli * to.perMilli end
  local whole, rest = scaled(min(${MAX}, math.abs(milli)), from.capacity / from.perMilli, to.capacity)
  if milli < 0 then return -whole end
  return rest and whole + 1 or whole
end
`;

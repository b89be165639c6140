/** In ms. */
export const MINUTE = 60_000;
const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
/** So long is kept what no period ends: a hundred years. */
export const LASTING = 36_500 * DAY;

/**
 * Periods of quotas in Lua, to stand in a script behind `floor`, `min` and `max` of its `math`:
 * `periodOf(at, rule)`, the start and the end in UTC of the hour, day, week, month or year of a rule that holds an instant. A
 * month begins on the anchor day, or on its last if it is shorter. What is `once` has no end but infinity. Days are counted
 * from 1970 in eras of 400 years that begin in March.
 */
export const CALENDAR = `
local function daysOf(y, m)
  if m < 1 then y, m = y - 1, m + 12 elseif m > 12 then y, m = y + 1, m - 12 end
  local shifted = m <= 2 and y - 1 or y
  local era = floor(shifted / 400)
  local yoe = shifted - era * 400
  local doy = floor((153 * (m > 2 and m - 3 or m + 9) + 2) / 5)
  return era * 146097 + yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy - 719468
end

local function monthStart(y, m, anchor)
  local first = daysOf(y, m)
  return (first + min(anchor, daysOf(y, m + 1) - first) - 1) * ${DAY}
end

local function yearAndMonth(at)
  local z = floor(at / ${DAY}) + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local mp = floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
  local m = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (m <= 2 and 1 or 0), m
end

-- The one of equal spans that holds an instant; one of them begins at the origin.
local function spanOf(at, origin, length)
  local start = at - (at - origin) % length
  return start, start + length
end

local periods = {
  hour = function(at) return spanOf(at, 0, ${HOUR}) end,
  day = function(at) return spanOf(at, 0, ${DAY}) end,
  -- The first Monday was the fifth day.
  week = function(at, anchor) return spanOf(at, (3 + anchor) * ${DAY}, ${7 * DAY}) end,
  month = function(at, anchor)
    local y, m = yearAndMonth(at)
    local start = monthStart(y, m, anchor)
    if start > at then return monthStart(y, m - 1, anchor), start end
    return start, monthStart(y, m + 1, anchor)
  end,
  year = function(at, anchor)
    local y, m = yearAndMonth(at)
    if m < anchor then y = y - 1 end
    return daysOf(y, anchor) * ${DAY}, daysOf(y + 1, anchor) * ${DAY}
  end,
  once = function() return 0, math.huge end,
}

-- By span, the period looked up last: nearly all fall into it.
local spans = {}
local function periodOf(at, rule)
  local span = spans[rule.span]
  if span and at >= span[1] and at < span[2] then return span[1], span[2] end
  local start, finish = periods[rule.period](at, rule.anchor)
  start = max(0, start)
  spans[rule.span] = {start, finish}
  return start, finish
end
`;

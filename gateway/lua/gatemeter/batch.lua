-- Decides how a batch is sent and what an answer of ingest means for it. Lines go in, a body comes
-- out; a status goes in, a verdict and a wait come out. Pure; it must never drop a line that ingest
-- has neither stored nor refused permanently.
local batch = {}

local WAIT_MIN_MS, WAIT_MAX_MS = 100, 5000
-- A wrong key or address needs an operator; frequent retries would only fill two logs.
local REFUSED_WAIT_MIN_MS, REFUSED_WAIT_MAX_MS = 1000, 30000
local RETRY_AFTER_MAX_MS = 60000

-- NDJSON, so that a line ingest cannot read costs itself only.
function batch.body(lines)
  return table.concat(lines, "\n") .. "\n"
end

-- `stored`: forget the lines. `refused`: ingest rejected each of them; forget and report. `split`:
-- send a smaller batch. `retry`, `trouble`: retry later; `trouble` needs an operator.
function batch.verdict(status)
  if status == 200 then
    return "stored"
  elseif status == 422 then
    return "refused"
  elseif status == 413 or status == 400 then
    return "split"
  elseif not status or status >= 500 or status == 408 or status == 429 then
    return "retry"
  end
  return "trouble"
end

-- Milliseconds to wait after the n-th failure in a row; `random` is from 0 to 1.
function batch.wait_ms(verdict, n_failures, random, retry_after)
  local low, high = WAIT_MIN_MS, WAIT_MAX_MS
  if verdict == "trouble" then
    low, high = REFUSED_WAIT_MIN_MS, REFUSED_WAIT_MAX_MS
  end
  local wait = math.min(high, low * 2 ^ math.min(n_failures - 1, 16))
  wait = wait * (0.75 + 0.5 * random)
  local asked = tonumber(retry_after)
  if asked and asked > 0 then
    wait = math.max(wait, math.min(asked * 1000, RETRY_AFTER_MAX_MS))
  end
  return wait
end

local function size_of(list)
  return type(list) == "table" and #list or 0
end

-- Counts of a decoded answer to 200 or 422; of `sent` lines those not rejected were accepted.
function batch.account(answer, sent)
  if type(answer) ~= "table" then
    return { accepted = sent, rejected = 0, late = 0, future = 0 }
  end
  local rejected = size_of(answer.rejected)
  local reported = { accepted = tonumber(answer.accepted) or sent - rejected, rejected = rejected,
                 late = size_of(answer.late), future = size_of(answer.future) }
  local first = rejected > 0 and answer.rejected[1]
  if type(first) == "table" then
    reported.first = ("%s: %s: %s"):format(tostring(first.id), tostring(first.field),
                                       tostring(first.reason))
  end
  return reported
end

return batch

-- Delivers the lines of a queue to ingest, batch by batch, until ingest has each of them. deliver()
-- sends the oldest lines once and does with them what the answer means; posting, counting, logging
-- and the clock are injected. Pure; it must never remove a line for any other reason than an answer
-- of ingest, and must count each one that it drops.
local batch = require("gatemeter.batch")

local delivery = {}
delivery.__index = delivery

-- `tools`: post(body) -> answer or nil and an error; decode, count(name, label, n),
-- log(level, message), now_ms(), random().
function delivery.new(settings, tools)
  return setmetatable({
    settings = settings, tools = tools,
    lines_max = settings["batch.events_max"], n_failures = 0, not_before_ms = 0,
  }, delivery)
end

function delivery:may_send()
  return self.tools.now_ms() >= self.not_before_ms
end

local function stored(self, queue, lines, index, answer, verdict)
  local reported = batch.account(self.tools.decode(answer.body), #lines)
  queue:remove(index)
  self.n_failures, self.not_before_ms = 0, 0
  -- After a split it grows again, slowly, for the next large event may be near.
  self.lines_max = math.min(self.settings["batch.events_max"], self.lines_max * 2)
  local count = self.tools.count
  count("batches_total", verdict, 1)
  count("events_delivered_total", nil, reported.accepted)
  count("events_rejected_total", nil, reported.rejected)
  count("events_uncounted_total", "late", reported.late)
  count("events_uncounted_total", "future", reported.future)
  if reported.rejected > 0 then
    self.tools.log("error", ("ingest rejected %d of %d events; the first one: %s"):format(
      reported.rejected, #lines, reported.first or "unknown"))
  end
  return "progress"
end

local function split(self, queue, lines, index, answer)
  local count = self.tools.count
  count("batches_total", "split", 1)
  if #lines > 1 then
    self.lines_max = math.ceil(#lines / 2)
    return "progress"
  end
  count("events_dropped_total", answer.status == 413 and "too_large" or "unreadable", 1)
  self.tools.log("error", ("event dropped, ingest answered %d: %s"):format(
    answer.status, lines[1]:match('^{"id":"([^"]+)"') or "unknown id"))
  queue:remove(index)
  return "progress"
end

local function later(self, verdict, answer, err)
  self.n_failures = self.n_failures + 1
  local wait = batch.wait_ms(verdict, self.n_failures, self.tools.random(),
                             answer and answer.headers["retry-after"])
  self.not_before_ms = self.tools.now_ms() + wait
  self.tools.count("batches_total", verdict, 1)
  local level = verdict == "trouble" and "error" or "warn"
  self.tools.log(level, ("ingest did not take a batch (%s), failure %d in a row, again in %d ms")
    :format(answer and "status " .. answer.status or tostring(err), self.n_failures, wait))
  return "wait"
end

-- Sends once. Returns `empty`, `progress` (call again) or `wait` (not before may_send()).
function delivery:deliver(queue)
  local lines, index = queue:peek(self.lines_max, self.settings["batch.bytes_max"])
  if #lines == 0 then
    queue:remove(index)
    return "empty"
  end
  local answer, err = self.tools.post(batch.body(lines))
  local verdict = batch.verdict(answer and answer.status)
  if verdict == "stored" or verdict == "refused" then
    return stored(self, queue, lines, index, answer, verdict)
  elseif verdict == "split" then
    return split(self, queue, lines, index, answer)
  end
  return later(self, verdict, answer, err)
end

return delivery

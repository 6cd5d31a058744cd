-- Tests of delivery: what becomes of a batch after every answer, and the HTTP client.
-- It must never pass when an event is neither delivered, nor queued, nor counted as dropped.
local batch = require("gatemeter.batch")
local check = require("check")
local cjson = require("cjson.safe")
local delivery = require("gatemeter.delivery")
local http = require("gatemeter.http")
local spool = require("gatemeter.spool")

local tests = {}

-- An ingest that answers by answer(lines); `seen` has each line it stored, by how often.
local function setup(n_lines, answer)
  local world = { counts = {}, seen = {}, now = 0 }
  world.queue = spool.create(check.store(), "a")
  for i = 1, n_lines do
    world.queue:push(('{"id":"%d"}'):format(i))
  end
  world.sender = delivery.new({ ["batch.events_max"] = 8, ["batch.bytes_max"] = 1000 }, {
    decode = cjson.decode, log = function() end, random = function() return 0.5 end,
    now_ms = function() return world.now end,
    count = function(name, label, n)
      local key = label and name .. "|" .. label or name
      world.counts[key] = (world.counts[key] or 0) + n
    end,
    post = function(body)
      local lines = {}
      for line in body:gmatch("[^\n]+") do
        lines[#lines + 1] = line
      end
      local status, text = answer(lines)
      if status == 200 then
        for _, line in ipairs(lines) do
          world.seen[line] = (world.seen[line] or 0) + 1
        end
      end
      return status and { status = status, headers = {}, body = text or "{}" }, "refused"
    end })
  return world
end

local function run(world)
  for _ = 1, 1000 do
    local state = world.sender:deliver(world.queue)
    if state == "empty" then
      return
    elseif state == "wait" then
      check.equal(world.sender:may_send(), false)
      world.now = world.now + 60000
    end
  end
  error("the queue never got empty")
end

local function n_seen(world)
  local n = 0
  for _, times in pairs(world.seen) do
    check.equal(times, 1)
    n = n + 1
  end
  return n
end

function tests.whatever_fails_first_every_event_arrives()
  local failures = { false, 500, 503, 429, 408, 401, 404, false }
  local world = setup(20, function()
    local status = table.remove(failures, 1)
    if status == nil then
      return 200
    end
    return status or nil
  end)
  run(world)
  check.equal(n_seen(world), 20)
  check.equal(world.counts["batches_total|retry"], 6)
  check.equal(world.counts["batches_total|trouble"], 2)
  check.equal(world.counts.events_delivered_total, 20)
end

function tests.a_batch_too_large_is_split_until_only_the_culprit_is_dropped()
  for _, status in ipairs({ 413, 400 }) do
    local world = setup(20, function(lines)
      for _, line in ipairs(lines) do
        if line == '{"id":"5"}' then
          return status
        end
      end
      return 200
    end)
    run(world)
    check.equal(n_seen(world), 19)
    local reason = status == 413 and "too_large" or "unreadable"
    check.equal(world.counts["events_dropped_total|" .. reason], 1)
  end
end

function tests.rejected_events_are_counted_and_not_sent_again()
  local world = setup(3, function()
    return 422, '{"accepted":0,"rejected":[{"index":0},{"index":1},{"index":2}]}'
  end)
  run(world)
  check.equal(world.counts.events_rejected_total, 3)
  check.equal(world.counts.events_delivered_total, 0)
end

function tests.waits_grow_to_a_bound_and_honour_retry_after()
  check.equal(batch.wait_ms("retry", 1, 0.5), 100)
  check.equal(batch.wait_ms("retry", 3, 0.5), 400)
  check.equal(batch.wait_ms("retry", 5000, 0.5), 5000)
  check.equal(batch.wait_ms("trouble", 5000, 0.5), 30000)
  check.equal(batch.wait_ms("retry", 1, 0.5, "2"), 2000)
  check.equal(batch.wait_ms("retry", 1, 0.5, "9999999"), 60000)
  check.equal(batch.wait_ms("retry", 1, 0.5, "soon"), 100)
end

local function socket(text)
  local at = 1
  return { receive = function(_, what)
    local stop
    if what == "*l" then
      local from, to = text:find("\r\n", at, true)
      if not from then
        return nil, "closed"
      end
      local line = text:sub(at, from - 1)
      at = to + 1
      return line
    end
    stop = what == "*a" and #text or at + what - 1
    if stop > #text then
      return nil, "closed"
    end
    local data = text:sub(at, stop)
    at = stop + 1
    return data
  end }
end

function tests.answers_are_read_in_every_framing_and_never_when_cut_off()
  local head = "HTTP/1.1 200 OK\r\n"
  local plain = head .. "Content-Length: 5\r\n\r\nhello"
  local chunked = head .. "transfer-encoding: chunked\r\n\r\n"
    .. "2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n"
  for _, text in ipairs({ plain, chunked, "HTTP/1.1 100 Continue\r\n\r\n" .. plain }) do
    check.equal(http.read_answer(socket(text)).body, "hello")
    for size = 0, #text - 1 do
      check.equal(http.read_answer(socket(text:sub(1, size))), nil, "cut at " .. size)
    end
  end
  check.equal(http.read_answer(socket(head .. "\r\nhello")).reusable, false)
  check.equal(http.read_answer(socket("SSH-2.0\r\n")), nil)
end

function tests.addresses_are_taken_apart()
  check.equal(http.parse_url("https://a.b/x/"),
              { scheme = "https", host = "a.b", port = 443, authority = "a.b", path = "/x" })
  check.equal(http.parse_url("http://[::1]:8003").port, 8003)
  for _, bad in ipairs({ "a.b", "http://", "http://u@h", "http://h:99999", "http://h:x" }) do
    check.equal(http.parse_url(bad), nil, bad)
  end
end

return tests

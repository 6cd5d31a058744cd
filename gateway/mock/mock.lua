-- A mock of an OpenAI-compatible upstream that keeps exact totals of what it has answered.
-- answer() makes each answer from a running number, so that usage, cached and reasoning tokens,
-- statuses and the cuts of chunks vary and can be repeated; count() adds it to the totals in the
-- log phase; show() gives them as JSON. Answers differ on purpose from what was asked. It must
-- never count what it did not send in full, and is no model of anybody's prices or limits.
local cjson = require("cjson.safe")

local mock = {}

local totals = ngx.shared.totals

-- Every request may steer its answer by headers: x-mock-status, x-mock-usage (none),
-- x-mock-delay-ms (before the first token), x-mock-tokens (chunks of a stream), x-mock-cut
-- (breaks the stream off), x-mock-bytes and x-mock-filling (a long answer), x-mock-number (in place
-- of the running one), x-mock-plain (no varying statuses and usage, for measuring).
local function header(name)
  return ngx.var["http_x_mock_" .. name]
end

local function status_for(n)
  if header("status") then
    return tonumber(header("status"))
  end
  if header("plain") then
    return 200
  end
  return n % 50 == 7 and 429 or n % 100 == 13 and 500 or n % 100 == 63 and 400 or 200
end

local function usage_for(n)
  if header("usage") == "none" or (not header("plain") and n % 20 == 3) then
    return nil
  end
  local input, output = 100 + n % 900, 10 + n % 300
  return { prompt_tokens = input, completion_tokens = output, total_tokens = input + output,
           prompt_tokens_details = { cached_tokens = n % 4 == 0 and math.floor(input / 2) or 0 },
           completion_tokens_details = { reasoning_tokens = n % 5 == 0 and math.floor(output / 3)
             or 0 } }
end

local function fail(status)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.print(cjson.encode({ error = { message = "mock", type = "mock_error", code = status } }))
end

-- Milliseconds by the clock as it is now, not as nginx saw it last.
local function now_ms()
  ngx.update_time()
  return math.floor(ngx.now() * 1000 + 0.5)
end

local function frame(object)
  return "data: " .. cjson.encode(object) .. "\n\n"
end

local function chunk(n, delta, usage)
  return { id = "mock-" .. n, object = "chat.completion.chunk", created = 1700000000,
           model = "mock-small", usage = usage, choices = { { index = 0, delta = delta } } }
end

-- Sends a text in pieces that end in the middle of lines and of characters.
local function send_cut(text, n)
  local at, size = 1, 1 + n % 97
  while at <= #text do
    ngx.print(text:sub(at, at + size - 1))
    ngx.flush(true)
    at, size = at + size, size * 3
  end
end

local function stream(n, usage)
  ngx.header["Content-Type"] = "text/event-stream; charset=utf-8"
  ngx.print(frame(chunk(n, { role = "assistant", content = "" })))
  ngx.flush(true)
  local delay = tonumber(header("delay_ms") or 0)
  if delay > 0 then
    ngx.sleep(delay / 1000)
  end
  local parts = {}
  for i = 1, tonumber(header("tokens") or 3) do
    parts[i] = frame(chunk(n, { content = "tok\226\130\172" .. i }))
  end
  if header("cut") then
    ngx.print(table.concat(parts))
    ngx.flush(true)
    return ngx.exit(ngx.ERROR)
  end
  if usage then
    local last = chunk(n, {}, usage)
    last.choices = setmetatable({}, cjson.array_mt or cjson.empty_array_mt)
    parts[#parts + 1] = frame(last)
  end
  parts[#parts + 1] = "data: [DONE]\n\n"
  ngx.ctx.first_token_ms = now_ms() - ngx.ctx.began_ms
  send_cut(table.concat(parts), n)
end

-- A long answer as it is met: vectors of numbers, or one text such as a picture in base64.
local fillings = {
  numbers = function(bytes) return "[" .. ("-0.0123456789,"):rep(bytes / 14) .. "0]" end,
  text = function(bytes) return '"' .. ("QUJD"):rep(bytes / 4) .. '"' end,
}
local filled = {}

local function long(bytes, kind, usage)
  local key = kind .. bytes
  filled[key] = filled[key] or fillings[kind](bytes)
  ngx.print('{"object":"list","data":[{"embedding":', filled[key],
            '}],"model":"mock-small","usage":', cjson.encode(usage), "}")
end

local function whole(n, usage)
  local delay = tonumber(header("delay_ms") or 0)
  if delay > 0 then
    ngx.sleep(delay / 1000)
  end
  ngx.header["Content-Type"] = "application/json"
  if header("bytes") then
    return long(tonumber(header("bytes")), header("filling") or "text", usage)
  end
  local choices = { { index = 0, finish_reason = "stop",
                      message = { role = "assistant", content = "tok\226\130\172" } } }
  ngx.print(cjson.encode({ id = "mock-" .. n, model = "mock-small", usage = usage,
                           choices = choices }))
end

function mock.answer()
  local n = tonumber(header("number")) or totals:incr("sequence", 1, 0)
  ngx.req.read_body()
  local request = cjson.decode(ngx.req.get_body_data() or "{}") or {}
  local ctx = ngx.ctx
  ctx.began_ms = now_ms()
  ctx.status, ctx.stream = status_for(n), request.stream == true
  if ctx.status ~= 200 then
    ctx.stream = false
    return fail(ctx.status)
  end
  ctx.usage = usage_for(n)
  if ctx.stream then
    return stream(n, ctx.usage)
  end
  return whole(n, ctx.usage)
end

local function add(name, n)
  if n ~= 0 then
    totals:incr("total|" .. name, n, 0)
  end
end

-- Upper bounds in milliseconds into which the times to the first token are sorted.
local bounds_ms = { 1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000,
                    30000 }

-- A time to the first token: from the request to the moment before its bytes go out.
local function add_first_token(ms)
  add("first_token_ms", ms)
  for _, bound in ipairs(bounds_ms) do
    if ms <= bound then
      add("first_token_le|" .. bound, 1)
    end
  end
end

function mock.count()
  local ctx = ngx.ctx
  if ngx.var.request_completion ~= "OK" then
    add("broken", 1)
    return
  end
  local name = ngx.var.http_x_namespace or "-"
  add("requests", 1)
  add("status|" .. ctx.status, 1)
  add("namespace|" .. name, 1)
  add("namespace_status|" .. name .. "|" .. ctx.status, 1)
  add(ctx.stream and "stream" or "whole", 1)
  if ctx.first_token_ms then
    add_first_token(ctx.first_token_ms)
  end
  if ctx.status == 200 and not ctx.usage then
    add("without_usage", 1)
  end
  if ctx.usage then
    add("input", ctx.usage.prompt_tokens)
    add("output", ctx.usage.completion_tokens)
    add("cached", ctx.usage.prompt_tokens_details.cached_tokens)
    add("reasoning", ctx.usage.completion_tokens_details.reasoning_tokens)
    add("namespace_input|" .. name, ctx.usage.prompt_tokens)
    add("namespace_output|" .. name, ctx.usage.completion_tokens)
  end
end

function mock.show()
  local reported = {}
  for _, key in ipairs(totals:get_keys(0)) do
    local name = key:match("^total|(.+)$")
    if name then
      reported[name] = totals:get(key)
    end
  end
  ngx.print(cjson.encode(reported), "\n")
end

function mock.reset()
  totals:flush_all()
  ngx.print("{}\n")
end

return mock

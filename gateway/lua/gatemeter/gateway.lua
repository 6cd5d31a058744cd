-- The phases of a proxied request: namespace (access), reading the answer (filters), the event
-- (log). init() reads the settings in the master; everything else runs in the workers. The answer
-- passes through untouched and at once. No failure here may cost a request its answer, and neither
-- keys nor text may go to a log or a label.
local answer = require("gatemeter.answer")
local balancer = require("gatemeter.balancer")
local cjson = require("cjson.safe")
local config = require("gatemeter.config")
local emitter = require("gatemeter.emitter")
local event = require("gatemeter.event")
local http = require("gatemeter.http")
local inject = require("gatemeter.inject")
local loose = require("gatemeter.loose")
local metrics = require("gatemeter.metrics")
local names = require("gatemeter.names")
local namespace = require("gatemeter.namespace")
local request_reader = require("gatemeter.request")
local resolver = require("gatemeter.resolver")
local sent = require("gatemeter.sent")
local system = require("gatemeter.system")
local text = require("gatemeter.text")

local gateway = {}

local REQUEST_BYTES_MAX = 1024 * 1024
-- How long requests wait for the first address of the upstream, right after the start.
local FIRST_ADDRESS_S = 5
-- Of an answer so much waits to be read, or one piece of any size.
local WAITING_BYTES_MAX, WAITING_PIECES_MAX = 16 * 1024, 64
local OPEN_OBJECT = 123
local decode = loose.decoder(cjson.decode)
local settings
local header_variable

local function read_file(path, what)
  local file, err = io.open(path, "rb")
  if not file then
    error(what .. ": " .. err, 0)
  end
  local content
  content, err = file:read("*a")
  file:close()
  if not content then
    error(("%s: %s: %s"):format(what, path, err), 0)
  end
  return content
end

local function read_key(path, what)
  if not path then
    return nil
  end
  local key, reason = config.key(read_file(path, what))
  if not key then
    error(("%s: the file %s does not hold a key: %s"):format(what, path, reason), 0)
  end
  return key
end

-- The names that the gateway connects to, and who is asked for their addresses.
local function init_names(options)
  local host, port = names.split(options.upstream)
  if not host then
    error("GATEWAY_UPSTREAM: '" .. options.upstream .. "' must name a host and a port", 0)
  end
  local servers, err
  if options.resolver ~= "" then
    servers, err = names.servers(options.resolver)
    if not servers then
      error("GATEWAY_RESOLVER: " .. err, 0)
    end
  end
  resolver.init({ servers = servers, hosts = options.hosts })
  resolver.add("upstream", host)
  resolver.add("ingest", settings.target.host)
  balancer.init(port)
end

-- `options`: config and spill_folder, and ingest and gateway, which win over the file if not empty;
-- upstream as host:port, hosts file, and resolver, the name servers to ask, or "" for the system's.
function gateway.init(options)
  local err
  settings, err = config.read(read_file(options.config, "settings"), cjson.decode,
                              system.sha256_hex, cjson.null)
  if not settings then
    error(options.config .. ": " .. err, 0)
  end
  if options.ingest ~= "" then
    settings["ingest.url"] = options.ingest
  end
  if options.gateway ~= "" then
    settings.gateway = options.gateway
  end
  settings.spill_folder = options.spill_folder
  settings.target, err = http.parse_url(settings["ingest.url"])
  if not settings.target then
    error("ingest.url: " .. err, 0)
  end
  settings.headers = { { "Content-Type", "application/x-ndjson" },
                       { "User-Agent", "gatemeter-gateway" } }
  local ingest_key = read_key(settings["ingest.key_file"], "ingest.key_file")
  if ingest_key then
    table.insert(settings.headers, { "Authorization", "Bearer " .. ingest_key })
  end
  settings.upstream_key = read_key(settings["upstream.key_file"], "upstream.key_file")
  settings.has_keys = next(settings.keys) ~= nil
  header_variable = "http_" .. settings.namespace_header:lower():gsub("-", "_")
  init_names(options)
end

function gateway.init_worker()
  resolver.start()
  emitter.start(settings)
end

function gateway.exit_worker()
  emitter.exit()
end

local function error_json(code, message, kind)
  return cjson.encode({ error = { message = message, type = kind, code = code } })
end

local function refuse(refusal)
  emitter.count("refused_total", refusal.reason, 1)
  ngx.ctx.refused = true
  ngx.status = refusal.status
  ngx.header["Content-Type"] = "application/json"
  if refusal.status == 401 then
    ngx.header["WWW-Authenticate"] = "Bearer"
  end
  ngx.print(error_json(refusal.code, refusal.message, "invalid_request_error"))
  return ngx.exit(refusal.status)
end

-- Asks the upstream for usage at the end of a stream.
local function inject_include_usage()
  if ngx.req.get_method() ~= "POST" or not ngx.var.uri:find("/completions/?$") then
    return
  end
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  local asking = body and #body <= REQUEST_BYTES_MAX
    and inject.include_usage(decode, cjson.null, body)
  if asking then
    ngx.req.set_body_data(asking)
  end
end

function gateway.access()
  local start_ms = system.monotonic_ms()
  local variables = ngx.var
  local key_hash
  if settings.has_keys then
    local key = namespace.key_of(variables.http_authorization, variables.http_x_api_key
      or variables.http_api_key)
    key_hash = key and system.sha256_hex(key)
  end
  local named = variables[header_variable]
  local identity, refusal = namespace.resolve(settings, named, key_hash)
  if not identity then
    return refuse(refusal)
  end
  if settings.forward_namespace then
    ngx.req.set_header(settings.namespace_header, identity.namespace)
  elseif named then
    ngx.req.clear_header(settings.namespace_header)
  end
  if settings.upstream_key then
    ngx.req.set_header("Authorization", "Bearer " .. settings.upstream_key)
  end
  local ctx = ngx.ctx
  ctx.start_ms, ctx.identity = start_ms, identity
  -- What entered must leave: from here to the log phase nothing may fail.
  ctx.entered, ctx.gauge = true, emitter.enter(identity.namespace, start_ms)
  emitter.count("admitted_total", nil, 1)
  resolver.wait("upstream", FIRST_ADDRESS_S)
  if settings.inject_include_usage then
    inject_include_usage()
  end
  -- Only a body that is read here stays on disk until the model in it is read. One that comes in
  -- chunks does not say how long it is.
  local length = variables.http_content_length
  if not length or (tonumber(length) or 0) > REQUEST_BYTES_MAX then
    ngx.req.read_body()
  end
end

local OWN_ERRORS = {
  [502] = { "upstream_unreachable", "the upstream cannot be reached" },
  [504] = { "upstream_timeout", "the upstream did not answer in time" },
}

local function text_room()
  return settings.send_text == "when_usage_absent" and settings.text_bytes_max or 0
end

local function header_text(name)
  local value = ngx.header[name]
  return type(value) == "table" and table.concat(value, ", ") or value
end

function gateway.header_filter()
  local ctx = ngx.ctx
  if not ctx.entered then
    return
  end
  if (ctx.failed_status or 0) > 0 then
    ngx.status = ctx.failed_status
  end
  local own = OWN_ERRORS[ngx.status]
  -- The time of the last attempt is the last one; without a header it is no number.
  if own and not (ngx.var.upstream_header_time or ""):find("%d$") then
    ctx.own_body = error_json(own[1], own[2], "api_error")
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #ctx.own_body
    return
  end
  ctx.answered = true
end

-- Reading an nginx variable is expensive.
local function uri_of(ctx)
  ctx.uri = ctx.uri or ngx.var.uri
  return ctx.uri
end

-- Parsing a path costs more than recognising the most usual one.
local function is_without_output(ctx)
  return uri_of(ctx) ~= "/v1/chat/completions" and answer.is_without_output(uri_of(ctx))
end

local function new_reader(ctx)
  return answer.new({
    decode = decode, encode = cjson.encode,
    clock = function() return ctx.came_ms or system.monotonic_ms() end,
    text_bytes_max = text_room(),
    content_type = header_text("Content-Type"),
    content_encoding = header_text("Content-Encoding"),
    without_output = is_without_output(ctx),
    may_echo = uri_of(ctx):find("[^t]/completions$") ~= nil,
  })
end

local function feed(ctx)
  local reader, waiting = ctx.reader, ctx.waiting
  if not reader then
    reader = new_reader(ctx)
    ctx.reader = reader
  end
  ctx.waiting = nil
  for i = 1, waiting and waiting.n or 0 do
    ctx.came_ms = waiting.times[i]
    reader:feed(waiting[i])
  end
  ctx.came_ms = nil
end

-- Feeds the buffered chunks to the reader.
local function read(ctx)
  local ok, err = pcall(feed, ctx)
  if not ok then
    ctx.reader, ctx.answered, ctx.waiting = nil, false, nil
    ngx.log(ngx.ERR, "gatemeter: the answer could not be read: ", err)
  end
end

function gateway.body_filter()
  local ctx = ngx.ctx
  local chunk, last = ngx.arg[1], ngx.arg[2]
  if ctx.own_body then
    ngx.arg[1] = last and ctx.own_body or nil
    return
  end
  -- nginx flushes without data, and without an end, only when the upstream has broken off.
  ctx.cut = chunk == "" and not last
  if not ctx.answered or chunk == "" then
    return
  end
  -- Bytes are read once there are many, or once the client has all: reading them takes longer than
  -- passing them on, and less for all of them at once.
  local waiting = ctx.waiting
  if not waiting then
    waiting = { n = 0, bytes = 0, times = {} }
    ctx.waiting = waiting
  end
  local n, bytes = waiting.n + 1, waiting.bytes + #chunk
  waiting[n], waiting.times[n], waiting.n, waiting.bytes = chunk, system.monotonic_ms(), n, bytes
  if n == WAITING_PIECES_MAX or bytes > WAITING_BYTES_MAX and n > 1 then
    read(ctx)
  end
end

local function request_json()
  local body = ngx.req.get_body_data()
  if not body or #body > REQUEST_BYTES_MAX then
    return nil
  end
  body = request_reader.unpacked(body, REQUEST_BYTES_MAX)
  local object = body and decode(body)
  return type(object) == "table" and object or nil
end

local function requested_model(ctx, json)
  if json and request_reader.is_name(json.model) then
    return json.model
  end
  local path = ngx.req.get_body_file()
  local file = path and io.open(path, "rb")
  local model = request_reader.model({
    path = uri_of(ctx), content_type = ngx.var.http_content_type, json = json,
    body = ngx.req.get_body_data(), file = file,
  }, decode)
  if file then
    file:close()
  end
  return model
end

-- 499 for a client that disconnected, even after it saw a status: it did not get the answer.
local function status_of(ctx)
  local status = ngx.status
  if status < 100 or status > 599 then
    return 499
  end
  if not ctx.cut and ngx.var.request_completion ~= "OK" and status < 400 then
    return 499
  end
  return status
end

-- A successful GET about something that failed has not failed itself.
local function is_failure(reported, method)
  return reported.error_type ~= nil and (reported.stream or method == "POST")
end

local function count_answer(reported, method, status)
  if is_failure(reported, method) and status < 400 then
    emitter.count(reported.stream and "stream_errors_total" or "answer_errors_total", nil, 1)
  end
  emitter.count("usage_elsewhere_total", nil, reported.usage and method ~= "POST" and 1 or 0)
  emitter.count("usage_repaired_total", nil, reported.repaired and 1 or 0)
  if reported.mismatch then
    emitter.count("usage_mismatch_total", reported.mismatch, 1)
  end
  if reported.unreadable then
    emitter.count("usage_unreadable_total", reported.unreadable, 1)
  end
end

local function is_without_tokens(ctx, reported)
  return reported.another_unit or answer.is_without_tokens(uri_of(ctx))
end

-- What was sent and received, where the upstream did not report its whole usage; also after a
-- client disconnect, which is billed up to that point. Of an answer that could not be decompressed,
-- or is not text, the received part is unknown.
local function text_of(ctx, reported, status, request)
  local absent = reported.absent or {}
  local is_complete = reported.usage and not (absent.input or absent.output)
  local has_failed = reported.error_type and not reported.stream
  local room = text_room()
  if is_complete or has_failed or room == 0 or status >= 400 and status ~= 499
    or reported.unreadable or reported.foreign or is_without_tokens(ctx, reported) then
    return nil
  end
  if ctx.answered and not ctx.reader then
    read(ctx)
  end
  -- Without an answer it counts only if the request has reached the upstream.
  if not ctx.reader and not (ngx.var.upstream_bytes_sent or ""):find("[1-9]") then
    return nil
  end
  local received, was_kept = nil, true
  if ctx.reader then
    received, was_kept = ctx.reader:received()
  end
  local line, fits = text.write(cjson, sent.read(cjson, request), received, reported.usage, room)
  emitter.count("texts_too_long_total", nil, fits and was_kept and 0 or 1)
  return line
end

-- What the answer reports. A short, usual one needs no reader.
local function read_answer_of(ctx)
  if not ctx.answered then
    return {}
  end
  local waiting = not ctx.reader and ctx.waiting
  -- What begins otherwise, as streams do, is not put together for nothing.
  local is_object = waiting and waiting[1]:byte() == OPEN_OBJECT
  local reported = is_object and answer.of_object(table.concat(waiting, "", 1, waiting.n), {
    decode = decode, content_type = header_text("Content-Type"),
    content_encoding = header_text("Content-Encoding"), without_output = is_without_output(ctx),
  })
  if reported then
    return reported
  end
  read(ctx)
  return ctx.reader and ctx.reader:finish() or {}
end

local CLASSES = { "1xx", "2xx", "3xx", "4xx", "5xx" }

local function attempt(ctx, now_ms)
  local status = status_of(ctx)
  local method = ngx.req.get_method()
  local reported = read_answer_of(ctx)
  local request = method == "POST" and request_json() or nil
  local requested = method == "POST" and requested_model(ctx, request) or nil
  local facts = {
    time = system.epoch_us(), namespace = ctx.identity.namespace, consumer = ctx.identity.consumer,
    upstream = settings["upstream.name"], method = method, endpoint = event.endpoint(uri_of(ctx)),
    model = reported.model, requested_model = requested ~= reported.model and requested or nil,
    status = status, duration_ms = now_ms - ctx.start_ms,
    ttft_ms = reported.first_token and reported.first_token - ctx.start_ms or nil,
    -- The usage in a GET belongs to an earlier request, which has reported it.
    stream = reported.stream or false, usage = method == "POST" and reported.usage or nil,
    -- The status is what the client saw; a later failure of the answer is reported beside it.
    error_type = status < 400 and is_failure(reported, method) and reported.error_type or nil,
  }
  if not reported.usage and method == "POST" and status < 400
    and not is_without_tokens(ctx, reported) then
    emitter.count("usage_absent_total", nil, 1)
  end
  if method == "POST" then
    facts.text_json = text_of(ctx, reported, status, request)
  end
  count_answer(reported, method, status)
  emitter.count("requests_total", CLASSES[math.floor(status / 100)], 1)
  emitter.count("streams_total", nil, reported.stream and 1 or 0)
  emitter.count("upstream_cut_total", nil, ctx.cut and 1 or 0)
  return facts
end

function gateway.log()
  local ctx = ngx.ctx
  if not ctx.entered then
    if not ctx.refused then
      emitter.count("refused_total", "bad_request", 1)
    end
    return
  end
  local now_ms = system.monotonic_ms()
  emitter.leave(ctx.gauge, now_ms)
  balancer.ended(ctx)
  local ok, facts = pcall(attempt, ctx, now_ms)
  if not ok then
    -- The answer could not be read: the attempt itself is still reported.
    ngx.log(ngx.ERR, "gatemeter: facts of an attempt are missing: ", facts)
    facts = { time = system.epoch_us(), namespace = ctx.identity.namespace,
              consumer = ctx.identity.consumer, upstream = settings["upstream.name"],
              method = ngx.req.get_method(), endpoint = event.endpoint(uri_of(ctx)),
              status = status_of(ctx), duration_ms = now_ms - ctx.start_ms,
              stream = ctx.reader and ctx.reader.reported.stream or false }
  end
  emitter.emit(facts)
end

-- 503 while there is no address to send requests to, and what is wrong with each name.
function gateway.healthz()
  local lines, serves = resolver.report()
  ngx.status = serves and 200 or 503
  table.insert(lines, 1, serves and "ok" or "not ready")
  ngx.print(table.concat(lines, "\n"), "\n")
end

function gateway.metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
  ngx.print(metrics.render(emitter.read))
end

return gateway

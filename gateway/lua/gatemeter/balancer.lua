-- Gives each attempt the address that it connects to, in nginx's balancer phase. run() is asked
-- before every connection: it gives the first address, and another one only if no byte of the
-- request has gone to the one before, for what was sent may have been billed. ended() reports the
-- result of the last one to the resolver. It must never send a request twice.
local resolver = require("gatemeter.resolver")
local upstream = require("ngx.balancer")

local balancer = {}

local ROLE = "upstream"
-- Addresses tried for one request.
local TRIES_MAX = 4
-- If there are others, an unresponsive one is abandoned sooner than by nginx.
local CONNECT_S = 3
-- nginx's code for "no server": it answers 502 without a further attempt.
local NGX_BUSY = -3

local port

function balancer.init(given_port)
  port = given_port
end

-- Whether a byte of this request has gone to any upstream.
local function was_sent()
  return (ngx.var.upstream_bytes_sent or ""):find("[1-9]") ~= nil
end

-- Ends the attempts of a request with the status that the last one had.
local function give_up(ctx)
  local _, status = upstream.get_last_failure()
  ctx.failed_status = status
  return ngx.exit(NGX_BUSY)
end

function balancer.run()
  local ctx = ngx.ctx
  local failed = ctx.address
  if failed then
    if was_sent() then
      return give_up(ctx)
    end
    resolver.failed(ROLE, failed)
    ctx.tried = ctx.tried or {}
    ctx.tried[failed] = true
  end
  local address, n = resolver.pick(ROLE, ctx.tried)
  if not address then
    if failed then
      return give_up(ctx)
    end
    ngx.log(ngx.ERR, "gatemeter: no address of the upstream: ", n)
    return ngx.exit(NGX_BUSY)
  end
  if not failed then
    -- One more even for a lone address: the hosts file may have another by then.
    upstream.set_more_tries(math.min(math.max(n, 2), TRIES_MAX) - 1)
    if n > 1 then
      upstream.set_timeouts(CONNECT_S)
    end
  end
  ctx.address = address
  local ok, err = upstream.set_current_peer(address, port)
  if not ok then
    ngx.log(ngx.ERR, "gatemeter: address ", address, ": ", err)
    return ngx.exit(NGX_BUSY)
  end
end

-- Called in the log phase.
function balancer.ended(ctx)
  local address, status = ctx.address, ngx.status
  if not address then
    return
  elseif status >= 100 and status < 499 then
    resolver.reached(ROLE, address)
  elseif status >= 500 then
    if (ngx.var.upstream_connect_time or ""):find("%d$") then
      resolver.reached(ROLE, address)
    else
      resolver.failed(ROLE, address)
    end
  end
end

return balancer

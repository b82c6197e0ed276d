// Stock parts put together as their documentation says: a facilitator, a resource server with one paid route for each
// scheme behind it, and a paying client.
import { createServer } from "node:http";
import { once } from "node:events";
import { x402Client } from "@x402/core/client";
import { x402Facilitator } from "@x402/core/facilitator";
import { x402HTTPResourceServer } from "@x402/core/http";
import { x402ResourceServer } from "@x402/core/server";
import { toClientEvmSigner, toFacilitatorEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme as BatchClient } from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme as BatchFacilitator } from "@x402/evm/batch-settlement/facilitator";
import {
  BatchSettlementChannelManager,
  BatchSettlementEvmScheme as BatchServer,
} from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme as ExactClient } from "@x402/evm/exact/client";
import { ExactEvmScheme as ExactFacilitator } from "@x402/evm/exact/facilitator";
import { ExactEvmScheme as ExactServer } from "@x402/evm/exact/server";
import { wrapFetchWithPayment } from "@x402/fetch";

/** A facilitator that sends its transactions as `ledger.client`. */
export function facilitatorOn({ client, network }) {
  const signer = toFacilitatorEvmSigner({ ...client, address: client.account.address });
  const facilitator = new x402Facilitator()
    .register(network, new BatchFacilitator(signer))
    .register(network, new ExactFacilitator(signer));
  return {
    verify: (payload, requirements) => facilitator.verify(payload, requirements),
    settle: (payload, requirements) => facilitator.settle(payload, requirements),
    getSupported: async () => facilitator.getSupported(),
  };
}

/**
 * A server that sells `GET /metered` and `GET /exact` at `price` units of `token` each, paid to `receiver`; those of them
 * whose `schemes` the facilitator knows.
 */
export async function openShop({
  network,
  facilitator,
  receiver,
  receiverAuthorizer,
  token,
  price,
  withdrawDelay,
  schemes = ["batch-settlement", "exact"],
}) {
  const scheme = new BatchServer(receiver, { receiverAuthorizerSigner: receiverAuthorizer, withdrawDelay });
  const servers = { "batch-settlement": scheme, exact: new ExactServer() };
  const resources = new x402ResourceServer(facilitator);
  for (const name of schemes) resources.register(network, servers[name]);
  const option = (name) => ({
    accepts: {
      scheme: name,
      network,
      payTo: receiver,
      price: { amount: String(price), asset: token.address, extra: { name: token.name, version: token.version } },
    },
  });
  const paths = { "batch-settlement": "GET /metered", exact: "GET /exact" };
  const paid = new x402HTTPResourceServer(
    resources,
    Object.fromEntries(schemes.map((name) => [paths[name], option(name)])),
  );
  await paid.initialize();

  const listener = createServer((request, response) => {
    answer(paid, request, response).catch((error) => {
      response.writeHead(500).end(String(error));
    });
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    manager: new BatchSettlementChannelManager({ scheme, facilitator, receiver, token: token.address, network }),
    close: () => listener.close().closeAllConnections(),
  };
}

async function answer(paid, request, response) {
  const url = new URL(request.url, `http://${request.headers.host}`);
  const adapter = {
    getHeader: (name) => request.headers[name.toLowerCase()],
    getMethod: () => request.method,
    getPath: () => url.pathname,
    getUrl: () => url.href,
    getAcceptHeader: () => request.headers.accept ?? "",
    getUserAgent: () => request.headers["user-agent"] ?? "",
  };
  const context = { adapter, path: url.pathname, method: request.method };
  const result = await paid.processHTTPRequest(context);
  if (result.type === "no-payment-required") return reply(response, { status: 404, headers: {}, body: {} });
  if (result.type === "payment-error") return reply(response, result.response);

  const settled = await paid.processSettlement(
    result.paymentPayload,
    result.paymentRequirements,
    result.declaredExtensions,
    { request: context },
    undefined,
    result.beforeHandlerSettlement,
  );
  if (!settled.success) return reply(response, settled.response);
  reply(response, { status: 200, headers: settled.headers, body: { answer: 42 } });
}

function reply(response, { status, headers, body }) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body ?? {}));
}

/** A client that pays as `account`, with no memory of earlier channels: its `fetch` pays, its `refund` asks it back. */
export function customerOf({ client, network }, account, token) {
  const signer = toClientEvmSigner(account, client);
  const batch = new BatchClient(signer);
  const payments = new x402Client()
    .register(network, batch)
    .register(network, new ExactClient(signer))
    .setSpendControls({ allowedAssets: [{ network, asset: token.address }] });
  return { fetch: wrapFetchWithPayment(fetch, payments), refund: (url) => batch.refund(url) };
}

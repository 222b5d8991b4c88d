import { answerChange, type Change } from "./answer-change.ts";
import { Catalog, findProblems } from "./catalog.ts";
import { readRemediation, remediate } from "./database.ts";
import { createEndpoint, type Endpoint, type EndpointParts, type Exchange } from "./endpoint.ts";
import { nameProblems, objectOf, problemsBelow, textOf } from "./entry-request.ts";

/** The endpoint of a remediation: `POST` of its parameters plans it with `dry_run`, else applies it. */
export function serveRemediation(name: string, parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint(
    {
      name,
      methods: ["POST"],
      answer: (exchange) => answerChange(exchange, (params) => readNamed(exchange, name, params)),
    },
    parts,
  );
}

/** The endpoint `remediate`: `POST` of `{ remediation, params }` plans or applies any remediation of the catalog. */
export function serveRemediate(parts: Partial<EndpointParts> = {}): Endpoint {
  return createEndpoint(
    { name: "remediate", methods: ["POST"], answer: (exchange) => answerChange(exchange, readAny) },
    parts,
  );
}

function readNamed({ worker: { catalog } }: Exchange, name: string, params: Record<string, unknown>): Change {
  return {
    name,
    params,
    examine: async (transaction) => {
      const entry = catalog.get(name) ?? catalog.learn(name, await readRemediation(transaction, name));
      return { problems: findProblems(entry.parameters, params), probes: entry.probes, takes: entry.takes };
    },
    perform: (transaction, asked) => remediate(transaction, { name, params, ...asked }),
  };
}

/** A team may change its entries at any time, so what the catalog says is not kept. */
function readAny(body: Record<string, unknown>): Change {
  const name = textOf(body["remediation"]);
  const params = objectOf(body["params"]);
  return {
    name,
    params,
    examine: async (transaction) => {
      const problems = nameProblems("remediation", body);
      if (problems.length > 0) return { problems, probes: [] };
      const entry = new Catalog().learn(name, await readRemediation(transaction, name));
      const found = problemsBelow("params", findProblems(entry.parameters, params));
      return { problems: found, probes: entry.probes, takes: entry.takes };
    },
    perform: (transaction, asked) => remediate(transaction, { name, params, ...asked }),
  };
}

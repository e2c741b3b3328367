/** Services put together from settings, a logger and a cache. */

import {
  authorizationError,
  businessError,
  failure,
  filter,
  flatMap,
  flatMapAsync,
  flatMapPromise,
  fromAsyncTryCatch,
  fromMaybe,
  inspect,
  inspectErr,
  map,
  mapPromise,
  match,
  matchPromise,
  networkError,
  type QiError,
  type Result,
  resourceError,
  sequenceAsync,
  success,
  unwrapOr,
  validationError,
} from "@qi/base";
import {
  cacheAside,
  type Config,
  ConfigBuilder,
  createCache,
  createLogger,
  fromObject,
  type ICache,
  type Logger,
  type LogLevel,
  validateConfig,
} from "@qi/core";
import { z } from "zod";

/** What a running service holds. */
export interface Service {
  readonly config: Config;
  readonly logger: Logger;
  readonly cache: ICache;
}

/** Starts a service from plain settings: first its logger, then its cache. */
export const startService = (data: Record<string, unknown>): Result<Service> => {
  const config = fromObject(data);
  const level = config.getOr<LogLevel>("logging.level", "info");
  return flatMap(
    (logger: Logger): Result<Service> =>
      map(
        (cache) => ({ config, logger, cache }),
        createCache({ backend: "memory", maxSize: config.getOr("cache.maxSize", 100) }),
      ),
    createLogger({ level, name: config.getOr("app.name", "service") }),
  );
};

/** Starts a service only with settings that satisfy its schema. */
export const startChecked = (data: Record<string, unknown>): Result<Service> =>
  flatMap(
    (config: Config): Result<Service> => startService(config.getAll()),
    ConfigBuilder.fromObject(data)
      .validateWith(z.object({ app: z.object({ name: z.string() }) }).loose())
      .build(),
  );

/** Stops a service: empties its cache and closes its logger. */
export const stopService = async ({ cache, logger }: Service): Promise<void> => {
  await cache.close();
  logger.info("Service stopped");
  logger.close();
};

/** A customer as the store keeps it. */
export interface Customer {
  readonly id: string;
  readonly name: string;
  readonly limit: number;
}

/** Loads a customer through the cache of a service and logs a failure. */
export const loadCustomer = async (
  { cache, logger }: Service,
  fetchCustomer: (id: string) => Promise<Customer>,
  id: string,
): Promise<Result<Customer>> =>
  inspectErr(
    (error) => logger.warn("Customer not loaded", { id, code: error.code }),
    await cacheAside(`customer:${id}`, cache, () => fetchCustomer(id), 300),
  );

/** Approves a purchase when it stays within the customer's limit. */
export const approve = (amount: number, customer: Customer): Result<number> =>
  amount <= customer.limit
    ? success(customer.limit - amount)
    : failure(businessError("Credit limit exceeded", { id: customer.id, amount }));

/** Loads a customer, approves a purchase and logs the decision. */
export const decide = async (
  service: Service,
  fetchCustomer: (id: string) => Promise<Customer>,
  id: string,
  amount: number,
): Promise<Result<number>> =>
  inspect(
    (left) => service.logger.info("Purchase approved", { id, left }),
    await flatMapPromise(
      (customer) => approve(amount, customer),
      loadCustomer(service, fetchCustomer, id),
    ),
  );

/** Answers a request for a customer with a status and a body. */
export const customerReply = (
  service: Service,
  fetchCustomer: (id: string) => Promise<Customer>,
  id: string,
): Promise<{ status: number; body: string }> =>
  matchPromise(
    async (customer) => ({ status: 200, body: customer.name }),
    async (error) => ({ status: 503, body: error.message }),
    loadCustomer(service, fetchCustomer, id),
  );

/** Limits how often a client may call within one minute. */
export const rateLimit = async (
  { cache, config }: Service,
  client: string,
): Promise<Result<number>> => {
  const calls = unwrapOr(0, await cache.get<number>(`calls:${client}`)) + 1;
  const limit = config.getOr("rate.perMinute", 60);
  await cache.set(`calls:${client}`, calls, 60);
  return calls <= limit
    ? success(limit - calls)
    : failure(resourceError("Too many requests", { client, limit }));
};

/** Lets a client through when its token is known to the cache. */
export const authorize = async ({ cache }: Service, token: string): Promise<Result<string>> =>
  match<string, QiError, Result<string>>(
    (user) => success(user),
    () => failure(authorizationError("Token is not known")),
    await cache.get<string>(`token:${token}`),
  );

/** Does some work for an authorized client and logs who asked for it. */
export const asClient = async <T>(
  service: Service,
  token: string,
  work: (user: string) => Promise<Result<T>>,
): Promise<Result<T>> =>
  flatMapAsync(
    async (user: string) => {
      service.logger.info("Work requested", { user });
      return work(user);
    },
    await authorize(service, token),
  );

/** Checks the health of a service by writing to its cache and reading back. */
export const healthCheck = async ({ cache }: Service): Promise<Result<"healthy">> =>
  map(
    (): "healthy" => "healthy",
    filter(
      (value) => value === "ping",
      resourceError("Cache lost a value"),
      await flatMapPromise(
        () => cache.get<string>("health"),
        cache.set("health", "ping", 5),
      ),
    ),
  );

/** Loads several customers through the cache and fails with the first that is missing. */
export const loadCustomers = (
  service: Service,
  fetchCustomer: (id: string) => Promise<Customer>,
  ids: readonly string[],
): Promise<Result<Customer[]>> =>
  sequenceAsync(ids.map((id) => loadCustomer(service, fetchCustomer, id)));

/** Computes the credit that several customers have together. */
export const totalLimit = (
  service: Service,
  fetchCustomer: (id: string) => Promise<Customer>,
  ids: readonly string[],
): Promise<Result<number>> =>
  mapPromise(
    (customers) => customers.reduce((sum, customer) => sum + customer.limit, 0),
    loadCustomers(service, fetchCustomer, ids),
  );

/** Reads a feature flag from the cache, from the settings, or takes it to be off. */
export const featureEnabled = async (
  { cache, config }: Service,
  name: string,
): Promise<boolean> =>
  match<boolean, QiError, boolean>(
    (enabled) => enabled,
    () => config.getOr(`features.${name}`, false),
    await cache.get<boolean>(`feature:${name}`),
  );

/** Reads how a webhook is to be called from the settings of a service. */
export const webhookSettings = ({ config }: Service): Result<{ url: string }> =>
  validateConfig(
    fromObject(config.getOr<Record<string, unknown>>("webhook", {})),
    z.object({ url: z.string() }),
  );

/** Calls the configured webhook and logs its answer. */
export const callWebhook = async (
  service: Service,
  post: (url: string) => Promise<number>,
): Promise<Result<number>> =>
  inspect(
    (status) => service.logger.info("Webhook called", { status }),
    await flatMapAsync(
      ({ url }: { url: string }) =>
        fromAsyncTryCatch(
          () => post(url),
          () => networkError("Webhook is unreachable", { url }),
        ),
      webhookSettings(service),
    ),
  );

/** Finds the handler of a command and rejects unknown commands. */
export const route = <T>(
  handlers: Readonly<Record<string, () => Promise<Result<T>>>>,
  command: string,
): Promise<Result<T>> =>
  flatMapAsync(
    (handler: () => Promise<Result<T>>) => handler(),
    fromMaybe(handlers[command], validationError(`Unknown command: ${command}`)),
  );

/** Reads the greeting of a service from its cache, whatever its type may be. */
export const legacyGreeting = async ({ cache }: Service): Promise<any> =>
  unwrapOr("hello", await cache.get<string>("greeting"));

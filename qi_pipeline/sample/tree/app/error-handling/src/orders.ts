/** A small domain, from raw input to a receipt, in which every step may fail. */

import {
  businessError,
  failure,
  flatMap,
  fromMaybe,
  fromTryCatch,
  map,
  mapError,
  match,
  type QiError,
  type Result,
  success,
  validationError,
  withContext,
} from "@qi/base";

/** What a customer asks for. */
export interface Order {
  readonly sku: string;
  readonly quantity: number;
}

/** What a customer gets to see in the end. */
export interface Receipt {
  readonly lines: string[];
  readonly total: number;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

/** Checks that an unknown value has the shape of an order. */
export const toOrder = (value: unknown): Result<Order> =>
  isRecord(value) && typeof value["sku"] === "string" && typeof value["quantity"] === "number"
    ? success({ sku: value["sku"], quantity: value["quantity"] })
    : failure(validationError("Not an order"));

/** Parses an order from the JSON text of a request body. */
export const parseOrder = (body: string): Result<Order> =>
  flatMap(
    toOrder,
    fromTryCatch(
      () => JSON.parse(body) as unknown,
      () => validationError("Request body is not JSON"),
    ),
  );

/** Rejects an order for nothing or for less. */
export const checkQuantity = (order: Order): Result<Order> =>
  order.quantity > 0
    ? success(order)
    : failure(validationError("Quantity must be positive", { quantity: order.quantity }));

/** Finds the price of an article in a price list. */
export const priceOf = (prices: Readonly<Record<string, number>>, sku: string): Result<number> =>
  fromMaybe(prices[sku], businessError(`Article ${sku} is not for sale`, { sku }));

/** Reserves the ordered quantity from the stock and fails when there is too little. */
export const reserve = (stock: Readonly<Record<string, number>>, order: Order): Result<Order> =>
  flatMap(
    (available) =>
      available >= order.quantity
        ? success(order)
        : failure(businessError("Out of stock", { sku: order.sku, available })),
    fromMaybe(stock[order.sku], businessError("Unknown article", { sku: order.sku })),
  );

/** Computes what an order costs. */
export const totalOf = (prices: Readonly<Record<string, number>>, order: Order): Result<number> =>
  map((price) => price * order.quantity, priceOf(prices, order.sku));

/** Handles an order from the raw request to the receipt. */
export const placeOrder = (
  prices: Readonly<Record<string, number>>,
  stock: Readonly<Record<string, number>>,
  body: string,
): Result<Receipt> => {
  const order = flatMap((o) => reserve(stock, o), flatMap(checkQuantity, parseOrder(body)));
  const receipt = flatMap(
    (o) =>
      map(
        (total): Receipt => ({ lines: [`${o.quantity} x ${o.sku}`], total }),
        totalOf(prices, o),
      ),
    order,
  );
  return mapError((error) => withContext({ operation: "placeOrder" }, error), receipt);
};

/** Renders the outcome of an order for the customer. */
export const toMessage = (receipt: Result<Receipt>): string =>
  match<Receipt, QiError, string>(
    ({ lines, total }) => `${lines.join(", ")} for ${total}`,
    (error) => `Sorry: ${error.message}`,
    receipt,
  );

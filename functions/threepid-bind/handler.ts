import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import { bindThreepid } from '#shared/threepid/bind-threepid.ts';
import { answerMatrix, CORS_HEADERS, matrixErrorBody, matrixOperations } from '#shared/threepid/matrix-protocol.ts';
import { MatrixEnvironment, type MatrixPorts, openMatrixPorts } from '#shared/threepid/open-ports.ts';

const bind: Operation<MatrixPorts> = (call, ports) =>
  answerMatrix(async () => {
    await bindThreepid(call, ports);
    return {};
  });

/** Binds a third-party identifier at an identity server, and remembers where (Matrix `POST /account/3pid/bind`). */
export const handler = defineFunction({
  name: 'threepid-bind',
  environment: MatrixEnvironment,
  ports: openMatrixPorts,
  raw: { '3pid.bind': bind },
  gateway: matrixOperations('threepid-bind', bind),
  headers: () => CORS_HEADERS,
  errorBody: matrixErrorBody,
});

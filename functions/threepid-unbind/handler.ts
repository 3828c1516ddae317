import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import { answerMatrix, CORS_HEADERS, matrixErrorBody, matrixOperations } from '#shared/threepid/matrix-protocol.ts';
import {
  MatrixEnvironment,
  MatrixSigningEnvironment,
  openMatrixPorts,
  type SigningPorts,
} from '#shared/threepid/open-ports.ts';
import { unbindThreepid } from '#shared/threepid/unbind-threepid.ts';

const unbind: Operation<SigningPorts> = (call, ports) =>
  answerMatrix(async () => ({ id_server_unbind_result: await unbindThreepid(call, ports) }));

/** Unbinds a third-party identifier at identity servers (Matrix `POST /account/3pid/unbind`). */
export const handler = defineFunction({
  name: 'threepid-unbind',
  environment: { ...MatrixEnvironment, ...MatrixSigningEnvironment },
  ports: (settings, platform) => ({
    ...openMatrixPorts(settings, platform),
    signingKey: settings.MATRIX_SIGNING_KEY,
  }),
  raw: { '3pid.unbind': unbind },
  gateway: matrixOperations('threepid-unbind', unbind),
  headers: () => CORS_HEADERS,
  errorBody: matrixErrorBody,
});

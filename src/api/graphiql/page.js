// Starts GraphiQL with the reader's token. It comes in the address's fragment (#token=…), which is never sent to a
// server, and stays in this tab's session storage, so that the address can be cleaned of it.
'use strict';

const TOKEN = 'convoledger.token';

const arrived = new URLSearchParams(location.hash.slice(1)).get('token');
if (arrived) {
  sessionStorage.setItem(TOKEN, arrived);
  history.replaceState(null, '', location.pathname + location.search);
}
const authorization = () => 'Bearer ' + (sessionStorage.getItem(TOKEN) ?? '');

const socket = graphqlWs.createClient({
  url: location.origin.replace(/^http/, 'ws') + '/graphql',
  lazy: true,
  connectionParams: () => ({ authorization: authorization() }),
});

const ask = async (params) => {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Accept': 'application/graphql-response+json, application/json',
      'Authorization': authorization(),
    },
    body: JSON.stringify(params),
  });
  return response.json();
};

const subscribe = (params) => ({
  subscribe: (observer) => ({ unsubscribe: socket.subscribe(params, observer) }),
});

const fetcher = (params, options) => {
  const definitions = options?.documentAST?.definitions ?? [];
  const subscribes = definitions.some((definition) =>
    definition.operation === 'subscription' && (!params.operationName || definition.name?.value === params.operationName));
  return subscribes ? subscribe(params) : ask(params);
};

const WELCOME = `# Everything below is asked as the account that the token belongs to.
# Ctrl-Space completes, Ctrl-Enter runs, the book on the left is the schema.
`;

ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: WELCOME, shouldPersistHeaders: false, isHeadersEditorEnabled: false }),
);
